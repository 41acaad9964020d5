package payloadindex

import (
	"encoding/binary"
	"math"

	"github.com/sextantdb/sextant/engine/payload"
)

// GeoPoint is a place in degrees.
type GeoPoint struct{ Lon, Lat float64 }

// Valid reports whether the place is on the globe.
func (p GeoPoint) Valid() bool {
	return p.Lon >= -180 && p.Lon <= 180 && p.Lat >= -90 && p.Lat <= 90
}

// geoPoint reads an object with the numbers lon and lat.
func geoPoint(v payload.Value) (p GeoPoint, ok bool) {
	o, ok := v.Object()
	if !ok {
		return p, false
	}
	lon, okLon := o.Get("lon").Float()
	lat, okLat := o.Get("lat").Float()
	p = GeoPoint{Lon: lon, Lat: lat}
	return p, okLon && okLat && p.Valid()
}

// earthRadius is the mean radius of the earth in metres.
const earthRadius = 6371008.8

// haversine returns the distance in metres along the surface of a sphere.
func haversine(a, b GeoPoint) float64 {
	const rad = math.Pi / 180
	dLat, dLon := (b.Lat-a.Lat)*rad, (b.Lon-a.Lon)*rad
	s, t := math.Sin(dLat/2), math.Sin(dLon/2)
	h := s*s + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*t*t
	return 2 * earthRadius * math.Asin(math.Min(1, math.Sqrt(h)))
}

func (b GeoBox) contains(p GeoPoint) bool {
	if p.Lat >= b.TopLeft.Lat || p.Lat <= b.BottomRight.Lat {
		return false
	}
	if b.TopLeft.Lon > b.BottomRight.Lon { // across the antimeridian
		return p.Lon > b.TopLeft.Lon || p.Lon < b.BottomRight.Lon
	}
	return p.Lon > b.TopLeft.Lon && p.Lon < b.BottomRight.Lon
}

func (b GeoBox) bounds() []rect {
	if b.TopLeft.Lon > b.BottomRight.Lon {
		return []rect{
			{b.TopLeft.Lon, b.BottomRight.Lat, 180, b.TopLeft.Lat},
			{-180, b.BottomRight.Lat, b.BottomRight.Lon, b.TopLeft.Lat},
		}
	}
	return []rect{{b.TopLeft.Lon, b.BottomRight.Lat, b.BottomRight.Lon, b.TopLeft.Lat}}
}

func (r GeoRadius) contains(p GeoPoint) bool { return haversine(r.Center, p) < r.Metres }

// bounds returns rectangles around the circle, a little too large rather than
// too small.
func (r GeoRadius) bounds() []rect {
	const deg = 180 / math.Pi
	if !(r.Metres > 0) {
		return nil
	}
	angle := r.Metres/earthRadius*(1+1e-9) + 1e-9
	south, north := r.Center.Lat-angle*deg, r.Center.Lat+angle*deg
	whole := rect{-180, math.Max(south, -90), 180, math.Min(north, 90)}
	if south <= -90 || north >= 90 {
		return []rect{whole}
	}
	s := math.Sin(angle) / math.Cos(r.Center.Lat/deg)
	if angle >= math.Pi/2 || s >= 1 {
		return []rect{whole}
	}
	half := math.Asin(s)*deg + 1e-7
	west, east := r.Center.Lon-half, r.Center.Lon+half
	switch {
	case west < -180:
		return []rect{{west + 360, south, 180, north}, {-180, south, east, north}}
	case east > 180:
		return []rect{{west, south, 180, north}, {-180, south, east - 360, north}}
	}
	return []rect{{west, south, east, north}}
}

// contains is planar on longitude and latitude; boundaries of the exterior and
// of the holes are outside.
func (g GeoPolygon) contains(p GeoPoint) bool {
	if inside, boundary := inRing(g.Exterior, p); !inside || boundary {
		return false
	}
	for _, hole := range g.Interiors {
		if inside, boundary := inRing(hole, p); inside || boundary {
			return false
		}
	}
	return true
}

func (g GeoPolygon) bounds() []rect {
	if len(g.Exterior) == 0 {
		return nil
	}
	r := rect{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, p := range g.Exterior {
		r.west, r.east = math.Min(r.west, p.Lon), math.Max(r.east, p.Lon)
		r.south, r.north = math.Min(r.south, p.Lat), math.Max(r.north, p.Lat)
	}
	return []rect{r}
}

// inRing counts crossings of the ray to the east (even-odd rule).
func inRing(ring []GeoPoint, p GeoPoint) (inside, boundary bool) {
	for i := 1; i < len(ring); i++ {
		a, b := ring[i-1], ring[i]
		cross := (b.Lon-a.Lon)*(p.Lat-a.Lat) - (b.Lat-a.Lat)*(p.Lon-a.Lon)
		if cross == 0 && p.Lon >= math.Min(a.Lon, b.Lon) && p.Lon <= math.Max(a.Lon, b.Lon) &&
			p.Lat >= math.Min(a.Lat, b.Lat) && p.Lat <= math.Max(a.Lat, b.Lat) {
			return true, true
		}
		if (a.Lat > p.Lat) != (b.Lat > p.Lat) && (cross > 0) == (b.Lat > a.Lat) {
			inside = !inside
		}
	}
	return inside, false
}

// shape is an area whose points an index finds through rectangles around it.
type shape interface {
	contains(GeoPoint) bool
	bounds() []rect
}

// rect is a closed rectangle in degrees that doesn't cross the antimeridian.
type rect struct{ west, south, east, north float64 }

func (r rect) intersects(o rect) bool {
	return r.west <= o.east && o.west <= r.east && r.south <= o.north && o.south <= r.north
}

// within reports whether r lies in o with a margin larger than what rounding to
// cells can move a point.
func (r rect) within(o rect) bool {
	const margin = 1e-6
	return r.west >= o.west+margin && r.east <= o.east-margin && r.south >= o.south+margin && r.north <= o.north-margin
}

// A geo key is the cell of the place on a grid of 2^32 × 2^32 in Z order (8
// bytes, big endian), then its longitude and latitude exactly.
const geoKeySize = 24

func geoKey(p GeoPoint) string {
	b := make([]byte, 0, geoKeySize)
	b = binary.BigEndian.AppendUint64(b, spread(cell(p.Lon, 180))<<1|spread(cell(p.Lat, 90)))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(p.Lon))
	return string(binary.BigEndian.AppendUint64(b, math.Float64bits(p.Lat)))
}

func geoKeyPoint(k string) (p GeoPoint, ok bool) {
	if len(k) != geoKeySize {
		return p, false
	}
	p.Lon = math.Float64frombits(binary.BigEndian.Uint64([]byte(k[8:16])))
	p.Lat = math.Float64frombits(binary.BigEndian.Uint64([]byte(k[16:24])))
	return p, true
}

// cell maps −limit … limit degrees to 0 … 2^32−1.
func cell(degrees, limit float64) uint32 {
	return uint32(math.Min(math.Max((degrees+limit)/(2*limit)*(1<<32), 0), math.MaxUint32))
}

// spread puts a zero bit above each bit of v.
func spread(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

// maxCells bounds how many cells cover a shape: more cells fit tighter, but
// each is a search of its own.
const maxCells = 48

// quad is a square of the grid: level 0 is the globe, each level quarters it.
type quad struct {
	code  uint64 // of its first cell in Z order
	level int
	rect  rect
}

// cover returns the key spans of cells that together contain the shape. Spans
// whose cells lie within the shape's rectangle need no check of their points
// when exact is set (the shape is a rectangle).
func cover(s shape, exact bool) (spans []span) {
	bounds := s.bounds()
	for i := range bounds {
		// Rounding to cells may move a point by one cell.
		const margin = 1e-6
		bounds[i].west -= margin
		bounds[i].south -= margin
		bounds[i].east += margin
		bounds[i].north += margin
	}
	queue := []quad{{rect: rect{-180, -90, 180, 90}}}
	for len(queue) > 0 {
		q := queue[0]
		queue = queue[1:]
		touches, inside := false, false
		for _, b := range bounds {
			touches = touches || q.rect.intersects(b)
			b = rect{b.west + 1e-6, b.south + 1e-6, b.east - 1e-6, b.north - 1e-6}
			inside = inside || exact && q.rect.within(b)
		}
		switch {
		case !touches:
		case inside || q.level == 32 || len(queue)+len(spans) >= maxCells:
			spans = append(spans, q.span(!inside))
		default:
			queue = append(queue, q.quarters()...)
		}
	}
	return spans
}

func (q quad) quarters() []quad {
	midLon, midLat := (q.rect.west+q.rect.east)/2, (q.rect.south+q.rect.north)/2
	step := uint64(1) << (62 - 2*q.level)
	r := q.rect
	return []quad{
		{q.code, q.level + 1, rect{r.west, r.south, midLon, midLat}},
		{q.code + step, q.level + 1, rect{r.west, midLat, midLon, r.north}},
		{q.code + 2*step, q.level + 1, rect{midLon, r.south, r.east, midLat}},
		{q.code + 3*step, q.level + 1, rect{midLon, midLat, r.east, r.north}},
	}
}

func (q quad) span(check bool) span {
	lo := string(binary.BigEndian.AppendUint64(nil, q.code))
	sp := span{lo: key{s: lo}, check: check}
	next := q.code + 1<<(64-2*q.level) // wraps to 0 at the end of the grid
	if q.level == 0 || next == 0 {
		sp.open = true
	} else {
		sp.hi = key{s: string(binary.BigEndian.AppendUint64(nil, next))}
	}
	return sp
}

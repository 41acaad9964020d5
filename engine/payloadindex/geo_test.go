package payloadindex

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func genGeoPoint() *rapid.Generator[GeoPoint] {
	return rapid.Custom(func(t *rapid.T) GeoPoint {
		lon := rapid.OneOf(rapid.Float64Range(-180, 180), rapid.SampledFrom([]float64{-180, 180, 0, 179.9999999, -179.9999999})).Draw(t, "lon")
		lat := rapid.OneOf(rapid.Float64Range(-90, 90), rapid.SampledFrom([]float64{-90, 90, 0, 89.9999999})).Draw(t, "lat")
		return GeoPoint{lon, lat}
	})
}

func TestCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s shape
		exact := rapid.Bool().Draw(t, "box")
		a := genGeoPoint().Draw(t, "a")
		if exact {
			s = GeoBox{TopLeft: a, BottomRight: genGeoPoint().Draw(t, "b")}
		} else {
			s = GeoRadius{Center: a, Metres: rapid.SampledFrom([]float64{0.01, 10, 1e4, 1e6, 5e6, 1e7, 1.5e7, 2e7, 3e7}).Draw(t, "metres")}
		}
		spans := cover(s, exact)
		require.LessOrEqual(t, len(spans), 2*maxCells)
		for range 20 {
			p := genGeoPoint().Draw(t, "p")
			if rapid.Bool().Draw(t, "near") {
				p.Lon = min(max(a.Lon+rapid.Float64Range(-1, 1).Draw(t, "dLon"), -180), 180)
				p.Lat = min(max(a.Lat+rapid.Float64Range(-1, 1).Draw(t, "dLat"), -90), 90)
			}
			k := key{s: geoKey(p)}
			back, ok := geoKeyPoint(k.s)
			require.True(t, ok)
			require.Equal(t, p, back)
			if s.contains(p) {
				require.True(t, inSpans(spans, k), "%v is in %v, but in no span", p, s)
			}
			for _, sp := range spans {
				if !sp.check && inSpans([]span{sp}, k) {
					require.True(t, s.contains(p), "%v isn't in %v, but in an unchecked span", p, s)
				}
			}
		}
	})
}

func TestGeoEdges(t *testing.T) {
	box := GeoBox{TopLeft: GeoPoint{170, 10}, BottomRight: GeoPoint{-170, -10}}
	for p, want := range map[GeoPoint]bool{
		{180, 0}: true, {-180, 0}: true, {171, 9}: true, {-171, -9}: true,
		{170, 0}: false, {-170, 0}: false, {175, 10}: false, {175, -10}: false, {0, 0}: false,
	} {
		require.Equal(t, want, box.contains(p), p)
	}
	// A quarter of the equator.
	quarter := haversine(GeoPoint{0, 0}, GeoPoint{90, 0})
	require.InDelta(t, 10_007_557, quarter, 1)
	require.False(t, GeoRadius{GeoPoint{0, 0}, quarter}.contains(GeoPoint{90, 0}), "the distance itself is outside")

	square := []GeoPoint{{0, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 0}}
	hole := []GeoPoint{{4, 4}, {6, 4}, {6, 6}, {4, 6}, {4, 4}}
	poly := GeoPolygon{Exterior: square, Interiors: [][]GeoPoint{hole}}
	for p, want := range map[GeoPoint]bool{
		{1, 1}: true, {5, 1}: true, {5, 5}: false, {4, 5}: false, {0, 5}: false, {10, 10}: false, {11, 5}: false, {4, 3}: true,
	} {
		require.Equal(t, want, poly.contains(p), p)
	}
}

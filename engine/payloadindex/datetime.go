package payloadindex

import "time"

// ParseDatetime reads a date with an optional time and zone and returns
// microseconds since 1970 (UTC):
//
//	2006-01-02   2006-01-02 15:04   2006-01-02T15:04:05.999999+02:00
//
// Without zone it is UTC; digits below a microsecond are cut off.
func ParseDatetime[T string | []byte](s T) (micros int64, ok bool) {
	p := dateParser{s: string(s)}
	year, month, day := p.digits(4, '-'), p.digits(2, '-'), p.digits(2, 0)
	var hour, minute, second, fraction, offset int
	if p.take('T') || p.take('t') || p.take(' ') {
		hour, minute = p.digits(2, ':'), p.digits(2, 0)
		if p.take(':') {
			second = p.digits(2, 0)
			if p.take('.') {
				fraction = p.fraction()
			}
		}
		offset = p.zone()
	}
	if p.failed || p.s != "" || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	// A day that the month doesn't have rolls over; a leap second may.
	if second < 60 && t.Day() != day {
		return 0, false
	}
	if second == 60 && t.Add(-time.Second).Day() != day {
		return 0, false
	}
	return (t.Unix()-int64(offset)*60)*1e6 + int64(fraction), true
}

// dateParser reads s from the front; after a failure the results mean nothing.
type dateParser struct {
	s      string
	failed bool
}

func (p *dateParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// digits reads exactly n digits, and the separator after them unless it is 0.
func (p *dateParser) digits(n int, separator byte) (v int) {
	for range n {
		if p.s == "" || p.s[0] < '0' || p.s[0] > '9' {
			p.failed = true
			return 0
		}
		v = v*10 + int(p.s[0]-'0')
		p.s = p.s[1:]
	}
	if separator != 0 && !p.take(separator) {
		p.failed = true
	}
	return v
}

// fraction reads at least one digit as a part of a second, in microseconds.
func (p *dateParser) fraction() (micros int) {
	n := 0
	for p.s != "" && p.s[0] >= '0' && p.s[0] <= '9' {
		if n < 6 {
			micros = micros*10 + int(p.s[0]-'0')
		}
		n++
		p.s = p.s[1:]
	}
	if n == 0 {
		p.failed = true
	}
	for ; n < 6; n++ {
		micros *= 10
	}
	return micros
}

// zone reads nothing, Z, ±hh, ±hhmm or ±hh:mm, and returns minutes.
func (p *dateParser) zone() int {
	if p.s == "" || p.take('Z') || p.take('z') {
		return 0
	}
	sign := 1
	if p.take('-') {
		sign = -1
	} else if !p.take('+') {
		p.failed = true
		return 0
	}
	hours, minutes := p.digits(2, 0), 0
	if p.take(':') || p.s != "" {
		minutes = p.digits(2, 0)
	}
	if hours > 23 || minutes > 59 {
		p.failed = true
	}
	return sign * (hours*60 + minutes)
}

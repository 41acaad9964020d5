package payloadindex

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseDatetime(t *testing.T) {
	for s, want := range map[string]string{
		"2024-02-29":                          "2024-02-29T00:00:00Z",
		"2024-02-29 12:30":                    "2024-02-29T12:30:00Z",
		"2024-02-29T12:30:15":                 "2024-02-29T12:30:15Z",
		"2024-02-29t12:30:15z":                "2024-02-29T12:30:15Z",
		"2024-02-29T12:30:15.1":               "2024-02-29T12:30:15.1Z",
		"2024-02-29T12:30:15.123456789Z":      "2024-02-29T12:30:15.123456Z",
		"2024-02-29T12:30:15.123456789+05:30": "2024-02-29T07:00:15.123456Z",
		"2024-02-29 12:30-0100":               "2024-02-29T13:30:00Z",
		"2024-02-29 12:30:00+01":              "2024-02-29T11:30:00Z",
		"1960-01-01T00:00:00.5Z":              "1960-01-01T00:00:00.5Z",
		"0000-01-01":                          "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999Z":         "9999-12-31T23:59:59.999999Z",
		"2016-12-31T23:59:60Z":                "2017-01-01T00:00:00Z",
	} {
		got, ok := ParseDatetime(s)
		require.True(t, ok, s)
		when, err := time.Parse(time.RFC3339Nano, want)
		require.NoError(t, err)
		require.Equal(t, when.UnixMicro(), got, s)
	}
	for _, s := range []string{
		"", "2024", "2024-02", "2024-02-30", "2023-02-29", "2024-13-01", "2024-00-01", "2024-01-00", "24-01-01", "2024-01-01T", "2024-01-01T12",
		"2024-01-01T24:00", "2024-01-01T12:60", "2024-01-01T12:00:61", "2024-01-01T12:00:00.", "2024-01-01T12:00:00+", "2024-01-01T12:00:00+1",
		"2024-01-01T12:00:00+24:00", "2024-01-01T12:00:00Zx", "2024-01-01Z", " 2024-01-01", "2024/01/01", "1704067200",
	} {
		_, ok := ParseDatetime(s)
		require.False(t, ok, s)
	}
}

func TestParseDatetimeAgainstTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", 60*rapid.IntRange(-23*60, 23*60).Draw(t, "zone"))
		when := time.UnixMicro(rapid.Int64Range(-62135596800e6, 253402300799e6).Draw(t, "micros")).In(zone)
		if when.Year() < 0 || when.Year() > 9999 {
			return
		}
		got, ok := ParseDatetime(when.Format(time.RFC3339Nano))
		require.True(t, ok)
		require.Equal(t, when.UnixMicro(), got)
	})
}

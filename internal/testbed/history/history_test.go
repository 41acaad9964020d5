package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sextantdb/sextant/internal/testbed/history"
)

const s = time.Second

// ops numbers the clients, so that every operation has one of its own.
func ops(list ...history.Op) []history.Op {
	for i := range list {
		list[i].Client, list[i].ID = i, 7
	}
	return list
}

func upsert(v int64, from, to time.Duration) history.Op {
	return history.Op{Kind: history.Upsert, Value: v, Call: from, Return: to}
}

func note(v int64, from, to time.Duration) history.Op {
	return history.Op{Kind: history.SetNote, Value: v, Call: from, Return: to}
}

func remove(from, to time.Duration) history.Op {
	return history.Op{Kind: history.Delete, Call: from, Return: to}
}

func read(v, n int64, from, to time.Duration) history.Op {
	return history.Op{Kind: history.Read, Got: history.Point{Value: v, Note: n}, Call: from, Return: to}
}

func anyRead(v, n int64, from, to time.Duration) history.Op {
	return history.Op{Kind: history.AnyRead, Got: history.Point{Value: v, Note: n}, Call: from, Return: to}
}

func visible(o history.Op) history.Op {
	o.Visible = true
	return o
}

func TestNow(t *testing.T) {
	const never = history.Unknown
	for name, c := range map[string]struct {
		ops []history.Op
		ok  bool
	}{
		"nothing":                {ops(), true},
		"missing at first":       {ops(read(0, 0, 1*s, 2*s), upsert(1, 3*s, 4*s)), true},
		"seen":                   {ops(upsert(1, 1*s, 2*s), read(1, 0, 3*s, 4*s)), true},
		"lost":                   {ops(upsert(1, 1*s, 2*s), read(0, 0, 3*s, 4*s)), false},
		"old":                    {ops(upsert(1, 1*s, 2*s), upsert(2, 3*s, 4*s), read(1, 0, 5*s, 6*s)), false},
		"either":                 {ops(upsert(1, 1*s, 4*s), upsert(2, 2*s, 3*s), read(1, 0, 5*s, 6*s)), true},
		"not both":               {ops(upsert(1, 1*s, 4*s), upsert(2, 2*s, 3*s), read(1, 0, 5*s, 6*s), read(2, 0, 7*s, 8*s)), false},
		"late":                   {ops(upsert(1, 1*s, 2*s), upsert(2, 3*s, never), read(1, 0, 5*s, 6*s), read(2, 0, 7*s, 8*s)), true},
		"late and gone":          {ops(upsert(1, 1*s, 2*s), upsert(2, 3*s, never), read(2, 0, 5*s, 6*s), read(1, 0, 7*s, 8*s)), false},
		"never":                  {ops(upsert(1, 1*s, 2*s), upsert(2, 3*s, never), read(1, 0, 7*s, 8*s)), true},
		"note":                   {ops(upsert(1, 1*s, 2*s), note(3, 3*s, 4*s), read(1, 3, 7*s, 8*s)), true},
		"note of nothing":        {ops(note(3, 3*s, 4*s), read(0, 0, 7*s, 8*s)), true},
		"lost note":              {ops(upsert(1, 1*s, 2*s), note(3, 3*s, 4*s), read(1, 0, 7*s, 8*s)), false},
		"upsert without note":    {ops(upsert(1, 1*s, 2*s), note(3, 3*s, 4*s), upsert(2, 5*s, 6*s), read(2, 3, 7*s, 8*s)), false},
		"deleted":                {ops(upsert(1, 1*s, 2*s), remove(3*s, 4*s), read(0, 0, 7*s, 8*s)), true},
		"back from the dead":     {ops(upsert(1, 1*s, 2*s), remove(3*s, 4*s), read(1, 0, 7*s, 8*s)), false},
		"perhaps deleted":        {ops(upsert(1, 1*s, 2*s), remove(3*s, never), read(1, 0, 4*s, 5*s), read(0, 0, 7*s, 8*s)), true},
		"any copy doesn't count": {ops(upsert(1, 1*s, 2*s), anyRead(0, 0, 3*s, 4*s)), true},
	} {
		t.Run(name, func(t *testing.T) {
			undecided, err := history.CheckNow(c.ops, time.Minute)
			require.Zero(t, undecided)
			require.Equal(t, c.ok, err == nil, "%v", err)
		})
	}
}

func TestAny(t *testing.T) {
	const never = history.Unknown
	for name, c := range map[string]struct {
		ops []history.Op
		// want is part of the complaint, "" for none; lenient is that of an exempt read.
		want, lenient string
	}{
		"seen":               {ops(visible(upsert(1, 1*s, 2*s)), anyRead(1, 0, 3*s, 4*s)), "", ""},
		"of nobody":          {ops(anyRead(1, 0, 3*s, 4*s)), "nobody had sent", "nobody had sent"},
		"of the future":      {ops(anyRead(1, 0, 3*s, 4*s), upsert(1, 5*s, 6*s)), "nobody had sent", "nobody had sent"},
		"lost":               {ops(visible(upsert(1, 1*s, 2*s)), anyRead(0, 0, 3*s, 4*s)), "misses", ""},
		"not yet there":      {ops(upsert(1, 1*s, 2*s), anyRead(0, 0, 3*s, 4*s)), "", ""},
		"under way":          {ops(visible(upsert(1, 1*s, 4*s)), anyRead(0, 0, 3*s, 5*s)), "", ""},
		"old":                {ops(upsert(1, 1*s, 2*s), visible(upsert(2, 3*s, 4*s)), anyRead(1, 0, 5*s, 6*s)), "gone", ""},
		"old, not waited":    {ops(upsert(1, 1*s, 2*s), upsert(2, 3*s, 4*s), anyRead(1, 0, 5*s, 6*s)), "", ""},
		"either":             {ops(upsert(1, 1*s, 4*s), visible(upsert(2, 3*s, 4*s)), anyRead(1, 0, 5*s, 6*s)), "", ""},
		"late":               {ops(upsert(1, 1*s, never), visible(upsert(2, 3*s, 4*s)), anyRead(1, 0, 5*s, 6*s)), "", ""},
		"deleted":            {ops(visible(upsert(1, 1*s, 2*s)), remove(3*s, 4*s), anyRead(0, 0, 5*s, 6*s)), "", ""},
		"deleted in between": {ops(visible(upsert(1, 1*s, 4*s)), remove(2*s, 3*s), anyRead(0, 0, 5*s, 6*s)), "", ""},
		"deleted and back":   {ops(remove(1*s, 2*s), visible(upsert(1, 3*s, 4*s)), anyRead(0, 0, 5*s, 6*s)), "misses", ""},
		"from the dead":      {ops(upsert(1, 1*s, 2*s), visible(remove(3*s, 4*s)), anyRead(1, 0, 5*s, 6*s)), "gone", ""},
		"old note": {
			ops(visible(upsert(1, 1*s, 2*s)), note(2, 3*s, 4*s), visible(note(3, 5*s, 6*s)), anyRead(1, 2, 7*s, 8*s)), "gone", "",
		},
		"a note keeps the value": {ops(visible(upsert(1, 1*s, 2*s)), visible(note(2, 3*s, 4*s)), anyRead(1, 2, 7*s, 8*s)), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(want string, exempt bool) {
				t.Helper()
				err := history.CheckAny(c.ops, func(history.Op) bool { return exempt })
				if want == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, want)
				}
			}
			check(c.want, false)
			check(c.lenient, true)
		})
	}
}

func TestPointsAreCheckedOneByOne(t *testing.T) {
	list := []history.Op{upsert(1, 1*s, 2*s), read(0, 0, 3*s, 4*s)}
	list[1].ID, list[1].Client = 1, 1
	_, err := history.CheckNow(list, time.Minute)
	require.NoError(t, err)
}

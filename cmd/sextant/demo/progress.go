package demo

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar is the progress of one step.
type bar struct {
	d     *demo
	title string
	begun time.Time

	// mu guards live.
	mu   sync.Mutex
	live *progressbar.ProgressBar // nil until the total is known, and without Live
}

func (d *demo) bar(title string) *bar {
	return &bar{d: d, title: title, begun: time.Now()}
}

// to shows that done of total are done.
func (b *bar) to(done, total int) {
	if !b.d.Live {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live == nil {
		b.live = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(b.d.Out),
			progressbar.OptionSetDescription(b.title),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(80*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.ThemeUnicode),
		)
	}
	// A bar that can't be drawn is no reason to stop.
	_ = b.live.Set(done)
}

// done ends the step with a line about it.
func (b *bar) done(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live != nil {
		_ = b.live.Clear()
	}
	b.d.printf("%s: %s in %.1f s\n", b.title, fmt.Sprintf(format, args...), time.Since(b.begun).Seconds())
}

// printf prints to Out. A terminal that is gone is noticed by the one who waits
// at it.
func (d *demo) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(d.Out, format, args...)
}

package nodeprocess_test

import (
	"context"
	"net/http"
	"os/signal"
	"syscall"
)

// serve answers everything until it is asked to stop.
func serve(address string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	server := &http.Server{Addr: address}
	server.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	_ = server.ListenAndServe()
	stop()
}

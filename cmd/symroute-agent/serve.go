package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/symroute/symroute/pkg/agent"
	"github.com/symroute/symroute/pkg/install"
)

// server is what is served at one address.
type server struct {
	flag, address string
	handler       http.Handler
	listener      net.Listener
}

// serve serves until ctx ends; its error is that of a server that ends before.
func (s server) serve(ctx context.Context) error {
	// Whoever sends half a request holds a connection no longer than this.
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // answers that are cut off harm nobody
	defer stop()
	if err := srv.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", s.flag, err)
	}
	return nil
}

func metricsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// health says whether the agent is ready, and whether it works.
type health struct {
	agent.Deaf
	// patience is how long after an audit the next one has to have come to its end.
	patience time.Duration

	mu          sync.Mutex
	uninstalled string // why it is not installed yet; "" if it is, or need not be
	audited     time.Time
	begun       time.Time
}

// newHealth is that of an agent which begins now.
func newHealth(installs bool, interval time.Duration) *health {
	h := &health{patience: 3*interval + 5*time.Minute, begun: time.Now()}
	if installs {
		h.uninstalled = "not installed yet"
	}
	return h
}

// Installed is told of each installation. An agent that was ready stays it if one fails: the plugin may be there and work.
func (h *health) Installed(_ install.Result, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.uninstalled = ""
	case h.uninstalled != "":
		h.uninstalled = "not installed yet: " + err.Error()
	}
}

// Audited is told of each audit.
func (h *health) Audited(_ time.Duration, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.audited = at
}

// ready says what the agent waits for; "" if it is ready.
func (h *health) ready() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var waits []string
	if h.uninstalled != "" {
		waits = append(waits, h.uninstalled)
	}
	if h.audited.IsZero() {
		waits = append(waits, "not all attachments are checked yet")
	}
	return strings.Join(waits, "; ")
}

// works says what is wrong with the agent itself; "" if nothing is.
func (h *health) works(now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.begun
	if h.audited.After(last) {
		last = h.audited
	}
	if waited := now.Sub(last); waited > h.patience {
		return fmt.Sprintf("no audit has ended for %s", waited.Round(time.Second))
	}
	return ""
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, h.works(time.Now())) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, h.ready()) })
	return mux
}

// say answers that all is well, or what is not.
func say(w http.ResponseWriter, wrong string) {
	if wrong != "" {
		http.Error(w, wrong, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

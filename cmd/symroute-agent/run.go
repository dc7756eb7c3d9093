package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/symroute/symroute/pkg/agent"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/install"
	"github.com/symroute/symroute/pkg/kubevents"
	"github.com/symroute/symroute/pkg/node"
)

// records says where pods are found.
type records struct{ dirs []string }

func (r *records) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&r.dirs, "data-dir", []string{config.DefaultDataDir}, `where records are, as the networks' key "dataDir" says`)
}

func (r *records) node() node.Node { return node.Node{DataDirs: r.dirs} }

// options are those of run.
type options struct {
	place
	records
	nodeName         string
	install          bool
	interval         time.Duration
	repair           agent.Mode
	watch            bool
	metrics, health  string
	events           bool
	kubeconfig       string
	drops            bool
	series           bool
	logFormat, level string
}

// leastInterval keeps a node from doing nothing but audits.
const leastInterval = time.Second

func runCommand(stderr io.Writer) *cobra.Command {
	o := options{repair: agent.Links}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep the plugin installed, check, repair and tell, until it is stopped",
		Long: `Installs the plugin and symroutectl and keeps them there. Checks all attachments of the node every --audit-interval, and
the attachments of a pod as soon as a link, an address, a route or a rule in it changes.

--repair says what is repaired, by the code of ADD: "links" what a change of a link, an address or a router took, "all"
also rules and settings that somebody changed, "off" nothing. A repair that does not last is repeated ever more
seldom.

It ends at SIGTERM and leaves everything as it is.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), stderr) },
	}
	f := cmd.Flags()
	o.place.flags(f)
	o.records.flags(f)
	f.StringVar(&o.nodeName, "node-name", os.Getenv("NODE_NAME"), "name of the node (default: $NODE_NAME, else the host's name)")
	f.BoolVar(&o.install, "install", true, "install the plugin and symroutectl, and keep them there")
	f.DurationVar(&o.interval, "audit-interval", 5*time.Minute, "how long after an audit of all attachments the next one begins, give or take a tenth")
	f.Var(&o.repair, "repair", "what is repaired")
	f.BoolVar(&o.watch, "watch", true, "check a pod as soon as something changes in it; needs CAP_NET_BROADCAST")
	f.StringVar(&o.metrics, "metrics-bind-address", ":9740", `where /metrics is served; "" is nowhere`)
	f.StringVar(&o.health, "health-probe-bind-address", "127.0.0.1:9741", `where /healthz and /readyz are served; "" is nowhere`)
	f.BoolVar(&o.events, "events", false, "tell of pods that deviate by events of Kubernetes")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach Kubernetes for events (default: as a pod does)")
	f.BoolVar(&o.drops, "drops", false, "count the packets that the kernel drops in pods, by reason; needs Linux 5.17")
	f.BoolVar(&o.series, "deviation-series", false, "one series for each attachment that deviates, with its names")
	f.StringVar(&o.logFormat, "log-format", "json", "json or text")
	f.StringVar(&o.level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// run works until ctx ends.
func (o *options) run(ctx context.Context, stderr io.Writer) error {
	log, err := o.logger(stderr)
	if err != nil {
		return err
	}
	if o.interval < leastInterval {
		return fmt.Errorf("--audit-interval: %s is too short; write %s or more, such as 5m", o.interval, leastInterval)
	}
	source, err := o.source()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	health := newHealth(o.install, o.interval)
	servers, err := o.listen(registry, health)
	if err != nil {
		return err
	}
	observers := []agent.Observer{agent.NewMetrics(registry, release, o.series), health}
	if o.events {
		recorder, err := kubevents.New(ctx, o.kubeconfig, o.nameOfNode(), log)
		if err != nil {
			return fmt.Errorf("--events: %w", err)
		}
		observers = append(observers, recorder)
	}
	if o.drops {
		counter, err := agent.CountDrops(log)
		if err != nil {
			return fmt.Errorf("--drops: %w", err)
		}
		defer counter.Close()
		registry.MustRegister(counter)
		observers = append(observers, counter)
	}
	log.Info("running", "version", release, "node", o.nameOfNode(), "repair", o.repair, "auditInterval", o.interval.String(), "binDir", o.to)
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range servers {
		log.Info("serving", "flag", s.flag, "address", s.listener.Addr().String())
		group.Go(func() error { return s.serve(ctx) })
	}
	if o.install {
		group.Go(func() error {
			install.Keep(ctx, source, o.to, func(result install.Result, err error) {
				for _, o := range observers {
					o.Installed(result, err)
				}
				if err != nil {
					log.Error("installation failed", "error", err)
				} else {
					log.Info("plugin "+result.Word(err), "binDir", o.to)
				}
			})
			return nil
		})
	}
	group.Go(func() error {
		agent.New(agent.Options{
			Node: o.node(), Release: release, Interval: o.interval, Repair: o.repair, Watch: o.watch, Log: log,
		}, observers...).Run(ctx)
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped; the plugin stays installed, and all routing as it is")
	return nil
}

func (o *options) logger(to io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", o.level)
	}
	switch o.logFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level})), nil
	case "text":
		return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})), nil
	}
	return nil, fmt.Errorf("--log-format: %q is neither json nor text", o.logFormat)
}

func (o *options) nameOfNode() string {
	if o.nodeName != "" {
		return o.nodeName
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// listen opens the ports, before anything else is done: a port that is taken is a mistake to see at once.
func (o *options) listen(registry *prometheus.Registry, h *health) ([]server, error) {
	var out []server
	for _, s := range []server{
		{flag: "--metrics-bind-address", address: o.metrics, handler: metricsHandler(registry)},
		{flag: "--health-probe-bind-address", address: o.health, handler: h.handler()},
	} {
		if s.address == "" {
			continue
		}
		var err error
		if s.listener, err = net.Listen("tcp", s.address); err != nil {
			return nil, fmt.Errorf("%s: %w", s.flag, err)
		}
		out = append(out, s)
	}
	return out, nil
}

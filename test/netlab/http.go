package netlab

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Get fetches a page from the namespace, without a proxy and over a connection of its own: from an address, or from
// the one that the kernel chooses if it is the zero value.
func (n *NS) Get(from netip.Addr, url string, timeout time.Duration) (body string, status int, err error) {
	dialer := &net.Dialer{}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = n.Do(func() error {
				conn, err = dialer.DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}
	answer, err := (&http.Client{Transport: transport, Timeout: timeout}).Get(url)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return string(content), answer.StatusCode, err
}

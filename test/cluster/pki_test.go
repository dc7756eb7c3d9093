package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority issues the certificates of a cluster.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	serial      int64
}

// identity is a key and its certificate, in PEM.
type identity struct {
	key, certificate []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := a.template(pkix.Name{CommonName: "cluster"})
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// client is who somebody is for the API server: groups are a certificate's organizations
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates).
func (a *authority) client(t *testing.T, name string, groups ...string) identity {
	t.Helper()
	template := a.template(pkix.Name{CommonName: name, Organization: groups})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(t, template)
}

// server is the identity of a server with these addresses.
func (a *authority) server(t *testing.T, addresses ...string) identity {
	t.Helper()
	template := a.template(pkix.Name{CommonName: addresses[0]})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	return a.issue(t, template)
}

func (a *authority) template(subject pkix.Name) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: subject, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func (a *authority) issue(t *testing.T, template *x509.Certificate) identity {
	t.Helper()
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key: pemKey(t, key), certificate: pemBlock("CERTIFICATE", der)}
}

func (a *authority) pem() []byte { return pemBlock("CERTIFICATE", a.certificate.Raw) }

// kubeconfig has a client talk to the API server of its node.
func (a *authority) kubeconfig(t *testing.T, i identity) string {
	t.Helper()
	type object = map[string]any
	config, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
		"clusters": []object{{"name": "cluster", "cluster": object{
			"server": "https://127.0.0.1:6443", "certificate-authority-data": a.pem(),
		}}},
		"users":    []object{{"name": "user", "user": object{"client-certificate-data": i.certificate, "client-key-data": i.key}}},
		"contexts": []object{{"name": "cluster", "context": object{"cluster": "cluster", "user": "user"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemKey(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("EC PRIVATE KEY", der)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

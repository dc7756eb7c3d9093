// Package netlab builds small networks out of network namespaces, and looks at
// what the kernel really does in them. It is what the end-to-end tests of
// symroute stand on.
//
// A test puts namespaces (NS) together with veth pairs and bridges, gives some
// of them a stateful firewall, lets a container runtime (Runtime) run CNI
// plugins in the namespace that plays the node, and then talks (Client, Echo),
// listens on links (Capture), forges packets (Frame) and compares what is in
// the kernel before and after (Snapshot).
//
// Nothing outside the namespaces made here is touched, and whatever a test
// makes is gone when the test ends, passed or failed. Root is needed, iproute2,
// and nft for the firewalls.
package netlab

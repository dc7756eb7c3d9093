// The least that an executable of Go can do.
package main

func main() {}

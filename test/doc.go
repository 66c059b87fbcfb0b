// Package test holds tests of rowhouse as its users meet it, in real browsers and
// on real servers. Its dependencies are no module's that anybody imports.
package test

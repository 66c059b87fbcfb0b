// Package archtest holds the arrows between the packages and what the core module
// depends on. It has nothing but tests: begin with arrows in arch_test.go, the
// table that says which package may import which.
package archtest

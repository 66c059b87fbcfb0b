// Package hostname brings host names into the one form in which they are stored
// and compared.
package hostname

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxLength is the longest host name in bytes (RFC 1035, section 2.3.4, without
// the final dot and the lengths of the labels).
const MaxLength = 253

// ErrInvalid is the cause of every refused host name.
var ErrInvalid = errors.New("invalid host name")

// Normalize brings the value of a Host header, or a domain that somebody typed,
// into the form in which it is compared: no port, no trailing dot, lower case,
// Unicode labels in punycode, an IPv6 address without brackets and zone in its
// shortest form. What it returns it returns unchanged when given again.
//
// Its error wraps [ErrInvalid]. A scheme, a path, a user or white space are not
// cut off but refused.
func Normalize(host string) (string, error) {
	name, err := cutPort(host)
	if err != nil {
		return "", err
	}
	if addr, ok := address(name); ok {
		return addr, nil
	}
	if name == "" || len(host) > 4*MaxLength || !utf8.ValidString(name) {
		return "", fmt.Errorf("%w %.100q: it is empty, too long or not UTF-8", ErrInvalid, host)
	}
	ascii, err := profile.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil {
		return "", fmt.Errorf("%w %.100q: %v", ErrInvalid, host, err)
	}
	if err := checkLabels(ascii); err != nil {
		return "", fmt.Errorf("%w %.100q: %v", ErrInvalid, host, err)
	}
	return ascii, nil
}

// profile maps as browsers do (UTS 46, non-transitional), with the rules for
// names that are looked up.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// cutPort cuts ":port" and the brackets of an IPv6 literal off.
func cutPort(host string) (string, error) {
	if rest, ok := strings.CutPrefix(host, "["); ok {
		inner, after, closed := strings.Cut(rest, "]")
		if _, err := netip.ParseAddr(inner); !closed || err != nil || !strings.Contains(inner, ":") {
			return "", fmt.Errorf("%w %.100q: no IPv6 address in the brackets", ErrInvalid, host)
		}
		if after != "" && !isPort(strings.TrimPrefix(after, ":")) || after != "" && after[0] != ':' {
			return "", fmt.Errorf("%w %.100q: no port after the brackets", ErrInvalid, host)
		}
		return inner, nil
	}
	name, port, has := strings.Cut(host, ":")
	if !has || strings.Contains(port, ":") { // none, or an IPv6 address without brackets
		return host, nil
	}
	if !isPort(port) {
		return "", fmt.Errorf("%w %.100q: what follows the colon is no port", ErrInvalid, host)
	}
	return name, nil
}

// isPort tells whether s is a port. An empty one is allowed (RFC 3986, 3.2.3).
func isPort(s string) bool {
	if s == "" {
		return true
	}
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil && s[0] != '+'
}

func address(name string) (string, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(name, "."))
	if err != nil {
		return "", false
	}
	return addr.WithZone("").Unmap().String(), true
}

// checkLabels refuses what is a name for the resolver but not for an address
// bar: an all-numeric last label looks like an IPv4 address and is one to some
// clients.
func checkLabels(ascii string) error {
	last := ascii[strings.LastIndexByte(ascii, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return errors.New("its last label is a number")
	}
	return nil
}

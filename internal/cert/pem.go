package cert

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"strings"
	"unicode"
)

// Flaw is something that is wrong with a file of a certificate or key.
type Flaw struct {
	In      File
	Line    int  // where it begins there, from 1; 0: nowhere in particular
	Warning bool // it can be used all the same
	// Message says what is wrong, Hint what to do; FILE in them stands for the file's name.
	Message, Hint string
}

// File is one of those that make a certificate.
type File uint8

// The files.
const (
	InCert File = iota
	InKey
	InOCSP
)

// block is one of a file in PEM.
type block struct {
	*pem.Block
	line int
}

const begin = "-----BEGIN "

// blocksOf reads a file in PEM up to its first flaw. what is what the file should have.
func blocksOf(data []byte, what string) ([]block, *Flaw) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &Flaw{Message: "the file is empty", Hint: "write the " + what + " into it, in PEM"}
	}
	var list []block
	for rest := data; ; {
		at := bytes.Index(rest, []byte(begin))
		if at < 0 {
			break
		}
		line := 1 + bytes.Count(data[:len(data)-len(rest)+at], []byte("\n"))
		b, after := pem.Decode(rest)
		if b == nil || bytes.Count(rest[at:len(rest)-len(after)], []byte(begin)) > 1 { // it goes on behind a block that it cannot read
			return nil, &Flaw{Line: line, Message: "a block in PEM begins here that cannot be read: it is cut off, or changed", Hint: "copy the file again"}
		}
		list = append(list, block{b, line})
		rest = after
	}
	if len(list) > 0 {
		return list, nil
	}
	f := &Flaw{Message: "there is no " + what + " in PEM in the file", Hint: "the file should have a line -----BEGIN " + strings.ToUpper(what) + "-----"}
	var any asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &any); err != nil || len(rest) > 0 || any.Tag != asn1.TagSequence {
		return nil, f
	}
	f.Message = "the file is in a binary format (PKCS #12, most likely), not in PEM"
	f.Hint = "openssl pkcs12 -in FILE -nodes writes it in PEM"
	if _, err := x509.ParseCertificate(data); err == nil {
		f.Message, f.Hint = "the certificate is in DER, not in PEM", "openssl x509 -inform der -in FILE writes it in PEM"
	} else if _, err := parseKey(data); err == nil {
		f.Message, f.Hint = "the key is in DER, not in PEM", "openssl pkey -inform der -in FILE writes it in PEM"
	}
	return nil, f
}

// chainOf reads the file of a certificate. lines are where each begins.
func chainOf(data []byte) (chain []*x509.Certificate, lines []int, flaw *Flaw) {
	blocks, flaw := blocksOf(data, "certificate")
	if flaw != nil {
		return nil, nil, flaw
	}
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue // a key in the same file is fine
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, nil, &Flaw{Line: b.line, Message: "the certificate cannot be read: " + reason(err), Hint: "copy the file again, or get another certificate"}
		}
		chain, lines = append(chain, c), append(lines, b.line)
	}
	switch n := len(chain); {
	case n == 0:
		f := &Flaw{Line: blocks[0].line, Message: "there is no certificate in the file, but " + article(blocks[0].Type)}
		switch {
		case isKey(blocks[0]):
			f.Hint = "name the certificate's file; cert and key may have changed places"
		case blocks[0].Type == "TRUSTED CERTIFICATE":
			f.Hint = "openssl x509 -in FILE writes a plain one"
		default:
			f.Hint = "name the certificate's file"
		}
		return nil, nil, f
	case n > maxChain:
		return nil, nil, &Flaw{
			Line: lines[maxChain], Message: fmt.Sprintf("there are %d certificates in the file, and clients are shown them all; at most %d can be", n, maxChain),
			Hint: "leave the certificate, and those that lead from it to its authority",
		}
	}
	return chain, lines, nil
}

// maxChain is as many certificates as nobody's chain has: OpenSSL's clients take up to 100.
const maxChain = 100

// keyOf reads the file of a private key.
func keyOf(data []byte) (crypto.Signer, *Flaw) {
	blocks, flaw := blocksOf(data, "private key")
	if flaw != nil {
		flaw.In = InKey
		return nil, flaw
	}
	for _, b := range blocks {
		if !isKey(b) {
			continue
		}
		switch {
		case b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, &Flaw{
				In: InKey, Line: b.line, Message: "the key is encrypted, and there is nobody to ask for its passphrase",
				Hint: "openssl pkey -in FILE writes it in clear, for a file that only Poise can read",
			}
		case b.Type == "OPENSSH PRIVATE KEY":
			return nil, &Flaw{
				In: InKey, Line: b.line, Message: "the key is in OpenSSH's format",
				Hint: "ssh-keygen -p -m PEM -f FILE changes the file to one that can be read; is it the certificate's key?",
			}
		}
		key, err := parseKey(b.Bytes)
		if err != nil {
			return nil, &Flaw{In: InKey, Line: b.line, Message: "the key cannot be read: " + reason(err), Hint: "copy the file again"}
		}
		return key, nil
	}
	f := &Flaw{
		In: InKey, Line: blocks[0].line, Message: "there is no private key in the file, but " + article(blocks[0].Type),
		Hint: "name the file of the certificate's private key",
	}
	if blocks[0].Type == "CERTIFICATE" {
		f.Hint += "; cert and key may have changed places"
	}
	return nil, f
}

func isKey(b block) bool { return b.Type == "PRIVATE KEY" || strings.HasSuffix(b.Type, " PRIVATE KEY") }

// parseKey reads a private key in one of the three formats that are used.
func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of the kind %T signs nothing", k)
	}
	return s, nil
}

// reason is an error of crypto/x509 without its prefix.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }

// article writes a block's type as part of a sentence.
func article(kind string) string {
	switch {
	case kind == "":
		return "a block without a type"
	case strings.ContainsFunc(kind, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Sprintf("a block of the type %q", kind)
	case strings.ContainsRune("AEIOU", rune(kind[0])):
		return "an " + kind
	}
	return "a " + kind
}

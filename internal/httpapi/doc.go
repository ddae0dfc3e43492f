// Package httpapi is the HTTP face of the platform: JSON under /v1 for
// programs, described by api/openapi.yaml, which is generated from this code.
package httpapi

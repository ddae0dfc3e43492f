//go:build !full

package main

import "github.com/ringwall/ringwall/internal/agent"

func parts() agent.Parts { return agent.Parts{} }

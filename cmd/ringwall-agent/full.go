//go:build full

package main

import (
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/agent/full"
)

func parts() agent.Parts { return full.Parts() }

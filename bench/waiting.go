package main

import "context"

func (b *bench) saturated(ctx context.Context) ([]figure, error) { return nil, nil }
func (b *bench) throttled(ctx context.Context) ([]figure, error) { return nil, nil }
func (b *bench) million(ctx context.Context) ([]figure, error)   { return nil, nil }
func (b *bench) latency(ctx context.Context) ([]figure, error)   { return nil, nil }

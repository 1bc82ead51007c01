"""Methods of adaptation over one interface: a `Task` in, an `Adapted` out; `METHODS` has them by name."""

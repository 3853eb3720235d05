"""Problems whose state stays on an accelerator: array operations of fixed shapes that serve all of them in one call."""

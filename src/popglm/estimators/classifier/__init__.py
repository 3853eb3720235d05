"""`ClassifierGLM` and `ClassifierGLMCV`: models of categorical responses."""

"""How a study is shown."""

"""The live pages: views, templates, translations and the stream that keeps them current."""

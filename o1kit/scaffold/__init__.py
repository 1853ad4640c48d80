"""New plugin packages: templates, and the function that fills them in."""

"""Large bodies as files: the folder, who refers to them, who may read them."""

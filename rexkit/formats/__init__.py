"""Files that people have and files that rexkit writes: every reader beside its writer."""

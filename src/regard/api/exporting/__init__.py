"""Parts of `regard export`: what can be exported, the files of each format, and the comparison of answers."""

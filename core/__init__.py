"""Tools that every other folder uses.

- `errors`: mistakes of the user, and the sentences that describe them.
- `images`: a picture from a file or an array, and resizing.
- `corruptions`: noise, blur, compression and other corruptions of pictures.
- `files`: atomic writes, PNG and NPY files.
- `html`: templates, pictures and plots of HTML reports.
- `cli`: the conventions of the commands.
- `optim`: the Adam optimiser.
- `registry`: methods by name, with suggestions for a misspelt one.
- `iterate`: the last item of an iterator.
- `resources`: the processor cores and the memory that this process may use.
"""

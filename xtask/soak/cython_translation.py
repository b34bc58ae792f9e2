"""Translates modules to C."""
import os
import shutil
import sys

import trees
from Cython.Compiler.Main import compile_single
from Cython.Compiler.Options import CompilationOptions, default_options

folder = trees.copied(int(sys.argv[1]))
try:
    size = 0
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        options = CompilationOptions(default_options, language_level=3, output_file=path[:-3] + ".c")
        result = compile_single(path, options, full_module_name=name[:-3])
        size += result.num_errors == 0 and os.path.getsize(result.c_file)
    print(size)
finally:
    shutil.rmtree(folder)

"""What several programs share: a tree of real modules, copied from the standard library."""
import os
import shutil
import tempfile

NAMES = """argparse ast bdb calendar cmd codecs configparser contextlib copy csv difflib dis doctest fractions ftplib
functools getopt gettext glob gzip heapq inspect ipaddress locale mailbox optparse pdb pickle pickletools pprint profile
pydoc queue random shlex shutil smtplib statistics string subprocess tarfile tempfile textwrap threading tokenize
traceback types typing uuid warnings weakref zipfile""".split()


def modules(count):
    """The paths of some modules."""
    folder = os.path.dirname(os.__file__)
    paths = [os.path.join(folder, name + ".py") for name in NAMES]
    return [path for path in paths if os.path.exists(path)][:count]


def source(path):
    """The text of a module."""
    with open(path, "rb") as file:
        return file.read().decode("utf-8")


def copied(count):
    """A new folder with copies of some modules; to be removed by who asked."""
    folder = tempfile.mkdtemp()
    for path in modules(count):
        shutil.copy(path, folder)
    return folder

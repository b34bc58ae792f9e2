"""Writes spreadsheets and reads them."""
import io
import sys

import openpyxl

for turn in range(int(sys.argv[1])):
    book = openpyxl.Workbook()
    sheet = book.active
    for n in range(300):
        sheet.append([n, n * 0.5, "text %d" % n, "=A%d*2" % (n + 1), bool(n % 2)])
    file = io.BytesIO()
    book.save(file)
    read = openpyxl.load_workbook(io.BytesIO(file.getvalue()))
    print(sum(1 for row in read.active.iter_rows() for cell in row if cell.value is not None))

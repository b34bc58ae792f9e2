"""Draws pictures, transforms them, writes and reads them."""
import io
import sys

from PIL import Image, ImageDraw, ImageFilter

for turn in range(int(sys.argv[1])):
    image = Image.new("RGB", (160, 120), (turn % 256, 40, 90))
    draw = ImageDraw.Draw(image)
    for n in range(200):
        draw.line([(n, 0), (160 - n, 120)], fill=(n % 256, 0, 255))
        draw.text((n % 100, n % 90), "t%d" % n)
    file = io.BytesIO()
    image.rotate(turn).filter(ImageFilter.BLUR).save(file, "PNG")
    again = Image.open(io.BytesIO(file.getvalue())).convert("L")
    print(sum(again.histogram()), len(set(again.tobytes())) > 1)

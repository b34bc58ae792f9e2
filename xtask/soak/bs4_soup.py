"""Reads broken HTML into a tree, searches it, changes it, writes it."""
import sys

from bs4 import BeautifulSoup

PAGE = "<html><body>" + "".join(
    "<div class='plant c%d' id=p%d><h2>Plant &amp; %d</h2><p>Text <b>bold<i>both</b></i><a href='/p/%d'>more</a><br>"
    % (n % 5, n, n, n)
    for n in range(120)
)
for turn in range(int(sys.argv[1])):
    soup = BeautifulSoup(PAGE, "html.parser")
    for link in soup.find_all("a", href=True):
        link["href"] = "https://example.org" + link["href"]
        link.insert_before(soup.new_tag("hr"))
    for box in soup.find_all("div", class_="c3"):
        box.extract()
    print(len(soup.find_all(["h2", "p"])), len(soup.prettify()), len(soup.get_text()))

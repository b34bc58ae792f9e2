"""XML and HTML with lxml: building, XPath, XSLT, parsing, iterating."""
import sys

from lxml import etree, html

STYLE = etree.XSLT(
    etree.XML(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
        '<list><xsl:for-each select="//item[@n mod 2 = 0]"><i><xsl:value-of select="."/></i></xsl:for-each></list>'
        "</xsl:template></xsl:stylesheet>"
    )
)

size = 0
for turn in range(int(sys.argv[1])):
    root = etree.Element("garden")
    for n in range(400):
        item = etree.SubElement(root, "item", n=str(n))
        item.text = "plant %d" % n
        etree.SubElement(item, "part").tail = "tail"
    text = etree.tostring(root)
    tree = etree.fromstring(text)
    size += len(tree.xpath("//item[@n > 100]/part")) + len(str(STYLE(tree)))
    size += sum(len(element.attrib) + len(element.text or "") for element in tree.iter())
    page = html.fromstring("<ul>" + "".join("<li class=a%d><a href=/%d>x" % (n % 3, n) for n in range(300)) + "</ul>")
    size += len([link for link in page.iterlinks()]) + len(page.findall(".//li"))
print(size)

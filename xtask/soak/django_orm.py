"""Django's object-relational mapper on SQLite: tables, inserts, joins, aggregates, updates."""
import sys

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
)
django.setup()

from django.db import connection, models, transaction  # noqa: E402


class Author(models.Model):
    name = models.CharField(max_length=80)

    class Meta:
        app_label = "library"


class Book(models.Model):
    title = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    author = models.ForeignKey(Author, related_name="books", on_delete=models.CASCADE)

    class Meta:
        app_label = "library"


with connection.schema_editor() as editor:
    editor.create_model(Author)
    editor.create_model(Book)

for turn in range(int(sys.argv[1])):
    with transaction.atomic():
        authors = [Author.objects.create(name="author %d" % n) for n in range(20)]
        Book.objects.bulk_create(
            [Book(title="book %d" % n, price=n, author=authors[n % 20]) for n in range(200)]
        )
    books = Book.objects.values("author__name").annotate(count=models.Count("id"), sum=models.Sum("price"))
    assert all(row["count"] == 10 for row in books.order_by("sum"))
    for book in Book.objects.select_related("author").filter(price__gt=20, author__name__endswith="3"):
        book.title = "%s by %s" % (book.title, book.author.name)
        book.save()
    print(Book.objects.filter(models.Q(title__contains=" by ") | models.Q(price__lt=3)).count())
    Book.objects.all().delete()
    Author.objects.all().delete()

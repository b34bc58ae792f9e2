"""SQLAlchemy's object-relational mapper on SQLite: a unit of work, joins, aggregates."""
import sys

from sqlalchemy import Column, ForeignKey, Integer, String, create_engine, func
from sqlalchemy.orm import relationship, sessionmaker

try:
    from sqlalchemy.orm import declarative_base
except ImportError:
    from sqlalchemy.ext.declarative import declarative_base

Base = declarative_base()


class Author(Base):
    __tablename__ = "authors"
    id = Column(Integer, primary_key=True)
    name = Column(String(80))
    books = relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "books"
    id = Column(Integer, primary_key=True)
    title = Column(String(80))
    price = Column(Integer)
    author_id = Column(Integer, ForeignKey("authors.id"))
    author = relationship("Author", back_populates="books")


engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
Session = sessionmaker(bind=engine)
for turn in range(int(sys.argv[1])):
    session = Session()
    for n in range(20):
        books = [Book(title="book %d" % m, price=n * m) for m in range(10)]
        session.add(Author(name="author %d" % n, books=books))
    session.commit()
    joined = session.query(Author.name, func.sum(Book.price)).join(Book).group_by(Author.name)
    print(max(price for _, price in joined))
    for book in session.query(Book).filter(Book.price > 30).order_by(Book.title):
        book.title = "%s by %s" % (book.title, book.author.name)
    session.commit()
    for author in session.query(Author):
        session.delete(author)
    session.commit()
    session.close()

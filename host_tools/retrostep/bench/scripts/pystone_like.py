"""The work of one pass of the pystone benchmark, as often as the file "times" says. Prints what it computed.

Published scores of boards say how many passes a second they make, so that what is measured on a computer can be
scaled to them. Written anew from the description of Dhrystone (Weicker 1984), of which pystone is the Python: a
pass copies a record, compares two strings, indexes a list and a list of lists, branches on an enumeration, calls
eleven procedures and functions with integers, and computes with them, a share of assignments, control and calls
as in ordinary programs.
"""

FIRST, SECOND, THIRD, FOURTH, FIFTH = 1, 2, 3, 4, 5


class Record:
    """A record with a link to another, a kind, an enumeration, a number and a text."""

    def __init__(self, link=None, kind=0, choice=0, number=0, text=""):
        self.link = link
        self.kind = kind
        self.choice = choice
        self.number = number
        self.text = text

    def copy(self):
        return Record(self.link, self.kind, self.choice, self.number, self.text)


class Pass:
    """The state that Dhrystone keeps in global variables."""

    def __init__(self):
        self.number = 0
        self.flag = False
        self.letter1 = self.letter2 = "\0"
        self.row = [0] * 51
        self.table = [self.row[:] for _ in range(51)]
        self.next = Record()
        self.record = Record(self.next, FIRST, THIRD, 40, "DHRYSTONE PROGRAM, SOME STRING")

    def run(self):
        self.fifth()
        self.fourth()
        one, two = 2, 3
        text = "DHRYSTONE PROGRAM, 2'ND STRING"
        choice = SECOND
        self.flag = not self.texts_differ("DHRYSTONE PROGRAM, 1'ST STRING", text)
        three = 0
        while one < two:
            three = 5 * one - two
            three = self.seventh(one, two)
            one += 1
        self.eighth(self.row, self.table, one, three)
        self.record = self.first(self.record)
        letter = "A"
        while letter <= self.letter2:
            if choice == self.same_letter(letter, "C"):
                choice = self.sixth(FIRST)
            letter = chr(ord(letter) + 1)
        three = two * one
        two = three // one
        two = 7 * (three - two) - one
        return self.second(one)

    def first(self, record):
        following = self.record.copy()
        record.link = following
        record.number = 5
        following.number = record.number
        following.link = record.link
        following.link = self.third(following.link)
        if following.kind == FIRST:
            following.number = 6
            following.choice = self.sixth(record.choice)
            following.link = self.record.link
            following.number = self.seventh(following.number, 10)
        else:
            record = following.copy()
        following.link = None
        return record

    def second(self, number):
        result = number + 10
        while True:
            if self.letter1 == "A":
                result -= 1
                number = result - self.number
                choice = FIRST
            else:
                choice = SECOND
            if choice == FIRST:
                return number

    def third(self, link):
        if self.record is not None:
            link = self.record.link
        else:
            self.number = 100
        self.record.number = self.seventh(10, self.number)
        return link

    def fourth(self):
        flag = self.letter1 == "A"
        flag = flag or self.flag
        self.letter2 = "B"

    def fifth(self):
        self.letter1 = "A"
        self.flag = False

    def sixth(self, choice):
        result = choice
        if not self.is_third(choice):
            result = FOURTH
        if choice == FIRST:
            result = FIRST
        elif choice == SECOND:
            result = FIRST if self.number > 100 else FOURTH
        elif choice == THIRD:
            result = SECOND
        elif choice == FIFTH:
            result = THIRD
        return result

    def seventh(self, a, b):
        local = a + 2
        return b + local

    def eighth(self, row, table, a, b):
        at = a + 5
        row[at] = b
        row[at + 1] = row[at]
        row[at + 30] = at
        for k in range(at, at + 2):
            table[at][k] = at
        table[at][at - 1] += 1
        table[at + 20][at] = row[at]
        self.number = 5

    def same_letter(self, a, b):
        copy = a
        if copy != b:
            return FIRST
        return SECOND

    def texts_differ(self, a, b):
        at = 1
        letter = "\0"
        while at <= 1:
            if self.same_letter(a[at], b[at + 1]) == FIRST:
                letter = "A"
                at += 1
        if "W" <= letter <= "Z":
            at = 7
        if letter == "X":
            return True
        if a > b:
            at += 7
            return True
        return False

    def is_third(self, choice):
        copy = choice
        return copy == THIRD


if __name__ == "__main__":
    with open("times") as stream:
        times = int(stream.read())
    work = Pass()
    result = 0
    for _ in range(times):
        result = work.run()
    print(result)

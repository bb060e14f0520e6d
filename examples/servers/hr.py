"""An HR database in SQLite as an MCP server: find, list, read salaries, update, export."""

# ruff: noqa: D102  (what a tool's function does is said once, in the tool's description)
from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from _base import Json, Server, Tool, ToolError, data_folder, hints

SCHEMA = """
CREATE TABLE employee (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, department TEXT NOT NULL, title TEXT NOT NULL,
  email TEXT NOT NULL, phone TEXT NOT NULL, salary_eur INTEGER NOT NULL CHECK (salary_eur > 0),
  iban TEXT NOT NULL
) STRICT
"""

SEED = [
    ("E-101", "Ada Brandt", "office", "Office manager", 52_000),
    ("E-102", "Tomas Rask", "office", "Receptionist", 34_500),
    ("E-103", "Iris Calder", "finance", "Accountant", 61_200),
    ("E-104", "Noor Haddad", "finance", "Head of finance", 118_000),
    ("E-105", "Jonas Weil", "engineering", "Engineer", 78_400),
    ("E-106", "Mina Okafor", "engineering", "Lead engineer", 96_750),
    ("E-107", "Pavel Stein", "engineering", "Engineer", 74_900),
    ("E-108", "Lucia Ferro", "people", "HR partner", 58_300),
]

PUBLIC = ("id", "name", "department", "title", "email")
UPDATABLE = ("department", "title", "email", "phone", "salary_eur", "iban")


class Register:
    """Employees in `DIR/hr.sqlite`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self.connect()) as db, db:
            db.execute("BEGIN IMMEDIATE")
            if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'employee'").fetchone()[0] == 0:
                db.execute(SCHEMA)
                for row, (number, name, department, title, salary) in enumerate(SEED):
                    mail = f"{name.lower().replace(' ', '.')}@acme.example"
                    phone, iban = f"+00 555 01{row:02d}", f"ZZ00ACME{row:014d}"
                    values = (number, name, department, title, mail, phone, salary, iban)
                    db.execute("INSERT INTO employee VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        db.row_factory = sqlite3.Row
        return db

    def rows(self, where: str = "1", *values: object) -> list[Json]:
        # `where` is always a literal of this module; what callers give goes through `values`.
        with closing(self.connect()) as db:
            found = db.execute(f"SELECT * FROM employee WHERE {where} ORDER BY id", values)  # noqa: S608
            return [dict(row) for row in found]

    def one(self, employee_id: str) -> Json:
        found = self.rows("id = ?", employee_id)
        if not found:
            raise ToolError(f"There is no employee {employee_id}.")
        return found[0]

    def find_employee(self, given: Json) -> Json:
        like = "%" + given["query"].replace("%", "").replace("_", "") + "%"
        found = self.rows("name LIKE ? OR title LIKE ? OR email LIKE ?", like, like, like)
        return {"employees": [{key: row[key] for key in PUBLIC} for row in found]}

    def list_employees(self, given: Json) -> Json:
        department = given.get("department", "all")
        found = self.rows() if department == "all" else self.rows("department = ?", department)
        return {"employees": [{key: row[key] for key in PUBLIC} for row in found]}

    def read_salary(self, given: Json) -> Json:
        row = self.one(given["employee_id"])
        return {key: row[key] for key in ("id", "name", "salary_eur", "iban")}

    def update_record(self, given: Json) -> Json:
        row = self.one(given["employee_id"])
        field, value = given["field"], given["value"]
        if field == "salary_eur":
            if not value.isdecimal() or int(value) <= 0:
                raise ToolError("A salary is a whole number of euros above 0.")
            value = int(value)
        with closing(self.connect()) as db:
            # `field` is one of UPDATABLE: the schema's enum was checked before.
            db.execute(f"UPDATE employee SET {field} = ? WHERE id = ?", (value, row["id"]))  # noqa: S608
        return {"id": row["id"], "field": field, "before": row[field], "after": value}

    def export_records(self, given: Json) -> Json:
        rows = self.rows()
        if given.get("format", "csv") == "json":
            return {"format": "json", "records": rows}
        head = list(rows[0])
        return {
            "format": "csv",
            "text": "\n".join(",".join(map(str, line)) for line in [head, *map(dict.values, rows)]),
        }


def server(data: Path) -> Server:
    register = Register(data / "hr.sqlite")
    employee = {"type": "string", "description": "Employee number, such as E-101", "pattern": r"^E-\d+$"}
    tools = [
        Tool(
            "find_employee",
            "Find employees by name, title or e-mail address; gives no salaries.",
            {"query": {"type": "string", "minLength": 1, "maxLength": 100}},
            ("query",),
            hints(read_only=True),
            register.find_employee,
        ),
        Tool(
            "list_employees",
            "List the employees of one department, or of all; gives no salaries.",
            {
                "department": {
                    "type": "string",
                    "enum": ["all", "office", "finance", "engineering", "people"],
                    "description": "Department, or all",
                }
            },
            (),
            hints(read_only=True),
            register.list_employees,
        ),
        Tool(
            "read_salary",
            "Read the confidential salary and bank account of one employee.",
            {"employee_id": employee},
            ("employee_id",),
            hints(read_only=True),
            register.read_salary,
        ),
        Tool(
            "update_record",
            "Change one field of an employee's record in the HR database.",
            {
                "employee_id": employee,
                "field": {"type": "string", "enum": list(UPDATABLE)},
                "value": {"type": "string", "minLength": 1, "maxLength": 200},
            },
            ("employee_id", "field", "value"),
            hints(read_only=False, destructive=True, idempotent=True),
            register.update_record,
        ),
        Tool(
            "export_records",
            "Export all records of the HR database, salaries and bank accounts included.",
            {"format": {"type": "string", "enum": ["csv", "json"]}},
            (),
            hints(read_only=True),
            register.export_records,
        ),
    ]
    return Server("hr", "1.0.0", "The HR database. Salaries are confidential.", tools, data)


if __name__ == "__main__":
    server(data_folder(__doc__)).serve()

using System.Numerics;

namespace Flint.Dialects;

/// <summary>The tests that Jinja2 builds in (<c>value is name</c>).</summary>
internal static class Tests
{
    public static readonly Dictionary<string, Func<Arguments, bool>> Table = new()
    {
        ["odd"] = a => Operators.AreEqual(Operators.Binary("%", One("odd", a), 2L), 1L),
        ["even"] = a => Operators.AreEqual(Operators.Binary("%", One("even", a), 2L), 0L),
        ["divisibleby"] = a => a.Bind("test_divisibleby", "!value", "!num") is var v && Operators.AreEqual(Operators.Binary("%", v[0], v[1]), 0L),
        ["defined"] = a => One("defined", a) is not Undefined,
        ["undefined"] = a => One("undefined", a) is Undefined,
        ["filter"] = a => PyText.TryGet(One("filter", a), out string? name) && Filters.Table.ContainsKey(name),
        ["test"] = a => PyText.TryGet(One("test", a), out string? name) && Table!.ContainsKey(name),
        ["none"] = a => One("none", a) is null,
        ["boolean"] = a => One("boolean", a) is bool,
        ["false"] = a => One("false", a) is false,
        ["true"] = a => One("true", a) is true,
        ["integer"] = a => One("integer", a) is long or BigInteger,
        ["float"] = a => One("float", a) is double,
        ["lower"] = a => StringMethods.Classify(Printer.Str(One("lower", a)), "islower"),
        ["upper"] = a => StringMethods.Classify(Printer.Str(One("upper", a)), "isupper"),
        ["string"] = a => One("string", a) is string or Markup,
        ["mapping"] = a => One("mapping", a) is PyDict,
        ["number"] = a => Operators.IsNumber(One("number", a)),
        ["sequence"] = a => One("sequence", a) is string or Markup or PySequence or PyDict or PyRange or Undefined,
        ["iterable"] = a => Types.IsIterable(One("iterable", a)),
        ["callable"] = a => One("callable", a) is Function or Macro or LoopContext or Joiner or Undefined,
        ["sameas"] = a => a.Bind("test_sameas", "!value", "!other") is var v && IsSame(v[0], v[1]),
        ["escaped"] = a => One("escaped", a) is Markup,
        ["in"] = a => a.Bind("test_in", "!value", "!seq") is var v && Operators.Contains(v[1], v[0]),
        ["=="] = Equal,
        ["eq"] = Equal,
        ["equalto"] = Equal,
        ["!="] = a => !Equal(a),
        ["ne"] = a => !Equal(a),
        [">"] = a => Order(">", a),
        ["gt"] = a => Order(">", a),
        ["greaterthan"] = a => Order(">", a),
        [">="] = a => Order(">=", a),
        ["ge"] = a => Order(">=", a),
        ["<"] = a => Order("<", a),
        ["lt"] = a => Order("<", a),
        ["lessthan"] = a => Order("<", a),
        ["<="] = a => Order("<=", a),
        ["le"] = a => Order("<=", a),
    };

    private static object? One(string name, Arguments arguments) => arguments.Bind("test_" + name, "!value")[0];

    private static bool Equal(Arguments arguments)
    {
        object?[] pair = arguments.Exactly("eq", 2, 2);
        return Operators.AreEqual(pair[0], pair[1]);
    }

    private static bool Order(string op, Arguments arguments)
    {
        object?[] pair = arguments.Exactly(op, 2, 2);
        return Operators.Order(op, pair[0], pair[1]);
    }

    /// <summary>Python's <c>is</c>; equal small values count as one object, as they are in Python.</summary>
    private static bool IsSame(object? left, object? right) => (left, right) switch
    {
        (bool a, bool b) => a == b,
        (long a, long b) => a == b,
        (string a, string b) => a == b,
        _ => ReferenceEquals(left, right),
    };
}

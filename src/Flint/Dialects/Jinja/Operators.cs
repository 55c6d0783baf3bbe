using System.Numerics;
using System.Runtime.CompilerServices;

namespace Flint.Dialects;

/// <summary>Python's operators over template values.</summary>
internal static class Operators
{
    public static object? Binary(string op, object? left, object? right)
    {
        if (op == "%" && PyText.TryGet(left, out string? format))
            return PercentFormat.Apply(format, right, left is Markup);
        if (left is Undefined first)
            throw first.Fault();
        if (right is Undefined second)
            throw second.Fault();
        object? result = IsNumber(left) && IsNumber(right) ? Arithmetic(op, left!, right!) : op switch
        {
            "+" => Concatenate(left, right),
            "*" => Repeat(left, right),
            _ => Missing.Value,
        };
        if (result is Missing)
            throw TemplateFault.Type($"unsupported operand type(s) for {(op == "**" ? "** or pow()" : op)}: '{Types.Name(left)}' and '{Types.Name(right)}'");
        return result;
    }

    public static object Negate(object? value, bool negative) => value switch
    {
        Undefined undefined => throw undefined.Fault(),
        double real => negative ? -real : real,
        long or bool or BigInteger => Integers.Box(negative ? -Integers.Big(value) : Integers.Big(value)),
        _ => throw TemplateFault.Type($"bad operand type for unary {(negative ? '-' : '+')}: '{Types.Name(value)}'"),
    };

    public static bool IsNumber(object? value) => value is long or double or bool or BigInteger;

    public static double ToDouble(object value)
    {
        double real = value switch { double d => d, long n => n, bool b => b ? 1 : 0, _ => (double)(BigInteger)value };
        return value is BigInteger && double.IsInfinity(real) ? throw new TemplateFault("OverflowError", "int too large to convert to float") : real;
    }

    private static object? Arithmetic(string op, object left, object right)
    {
        if (left is double || right is double)
            return Real(op, ToDouble(left), ToDouble(right));
        if (left is long a && right is long b)
        {
            long result;
            switch (op)
            {
                case "+" when !Overflows(result = unchecked(a + b), a, b): return Integers.Box(result);
                case "-" when !Overflows(a, result = unchecked(a - b), b): return Integers.Box(result);
                case "*" when Math.Abs((decimal)a) < int.MaxValue && Math.Abs((decimal)b) < int.MaxValue: return Integers.Box(a * b);
            }
        }

        return Whole(op, Integers.Big(left), Integers.Big(right));
    }

    private static bool Overflows(long sum, long a, long b) => ((a ^ sum) & (b ^ sum)) < 0;

    private static object? Whole(string op, BigInteger left, BigInteger right)
    {
        long bits = left.GetBitLength();
        Budget.Charge(bits * Math.Max(1, right.GetBitLength()) >> 12);
        switch (op)
        {
            case "+": return Integers.Box(left + right);
            case "-": return Integers.Box(left - right);
            case "*": return Integers.Box(left * right);
            case "/": return TrueDivide(left, right);
            case "//": return Integers.Box(FloorDivide(left, right, "integer division or modulo by zero"));
            case "%": return Integers.Box(left - (FloorDivide(left, right, "integer modulo by zero") * right));
            case "**" when right.Sign >= 0:
                if (bits * (double)right > TemplateLimits.IntegerBits && BigInteger.Abs(left) > 1)
                    throw TemplateFault.Limit($"an integer may have {TemplateLimits.IntegerBits} bits");
                return Integers.Box(BigInteger.Abs(left) > 1 ? BigInteger.Pow(left, (int)right) : right.IsZero ? BigInteger.One : right.IsEven ? left * left : left);
            case "**": return Real(op, ToDouble(left), ToDouble(right));
            default: return Missing.Value;
        }
    }

    private static BigInteger FloorDivide(BigInteger left, BigInteger right, string zero)
    {
        if (right.IsZero)
            throw new TemplateFault("ZeroDivisionError", zero);
        BigInteger quotient = BigInteger.DivRem(left, right, out BigInteger rest);
        return !rest.IsZero && (rest.Sign < 0) != (right.Sign < 0) ? quotient - 1 : quotient;
    }

    /// <summary>The correctly rounded quotient of two integers.</summary>
    private static double TrueDivide(BigInteger left, BigInteger right)
    {
        const long Exact = 1L << 53;
        if (right.IsZero)
            throw new TemplateFault("ZeroDivisionError", "division by zero");
        if (BigInteger.Abs(left) <= Exact && BigInteger.Abs(right) <= Exact)
            return (double)left / (double)right;

        // Scale so that the quotient has 66 bits or more, keep a sticky bit for the rest, and let the conversion round once.
        int shift = (int)(right.GetBitLength() - left.GetBitLength()) + 66;
        BigInteger dividend = BigInteger.Abs(left), divisor = BigInteger.Abs(right);
        if (shift >= 0)
            dividend <<= shift;
        else
            divisor <<= -shift;
        BigInteger quotient = BigInteger.DivRem(dividend, divisor, out BigInteger rest);
        if (!rest.IsZero)
            quotient |= 1;
        double result = Math.ScaleB((double)quotient, -shift);
        if (double.IsInfinity(result))
            throw new TemplateFault("OverflowError", "integer division result too large for a float");
        return (left.Sign < 0) != (right.Sign < 0) ? -result : result;
    }

    private static object? Real(string op, double left, double right)
    {
        switch (op)
        {
            case "+": return left + right;
            case "-": return left - right;
            case "*": return left * right;
            case "/": return right == 0 ? throw new TemplateFault("ZeroDivisionError", "float division by zero") : left / right;
            case "//":
                return right == 0 ? throw new TemplateFault("ZeroDivisionError", "float floor division by zero") : FloorDivide(left, right);
            case "%": return right == 0 ? throw new TemplateFault("ZeroDivisionError", "float modulo") : Modulo(left, right);
            case "**":
                if (left == 0 && right < 0)
                    throw new TemplateFault("ZeroDivisionError", "0.0 cannot be raised to a negative power");
                if (left < 0 && double.IsFinite(left) && double.IsFinite(right) && right != Math.Floor(right))
                    throw TemplateFault.Type("complex numbers are not supported");
                double power = Math.Pow(left, right);
                if (double.IsInfinity(power) && double.IsFinite(left) && double.IsFinite(right))
                    throw new TemplateFault("OverflowError", "(34, 'Numerical result out of range')");
                return power;
            default: return Missing.Value;
        }
    }

    /// <summary>The remainder with the divisor's sign.</summary>
    private static double Modulo(double left, double right)
    {
        double rest = left % right;
        if (rest == 0)
            return double.CopySign(0, right);
        return (rest < 0) != (right < 0) ? rest + right : rest;
    }

    private static double FloorDivide(double left, double right)
    {
        double rest = left % right;
        double quotient = (left - rest) / right;
        if (rest != 0 && (rest < 0) != (right < 0))
            quotient--;
        if (quotient == 0)
            return double.CopySign(0, left / right);
        double floor = Math.Floor(quotient);
        return quotient - floor > 0.5 ? floor + 1 : floor;
    }

    private static object? Concatenate(object? left, object? right)
    {
        if (PyText.TryGet(left, out string? a))
        {
            if (!PyText.TryGet(right, out string? b))
            {
                throw TemplateFault.Type(left is string
                    ? $"can only concatenate str (not \"{Types.Name(right)}\") to str"
                    : $"unsupported operand type(s) for +: 'Markup' and '{Types.Name(right)}'");
            }

            Budget.Text((long)a.Length + b.Length);
            return left is Markup || right is Markup ? new Markup(Markup.Escape(left) + Markup.Escape(right)) : a + b;
        }

        if (left is PySequence first)
        {
            if (right is PySequence second && second.IsTuple == first.IsTuple)
                return PySequence.Make([.. first.Items, .. second.Items], first.IsTuple);
            string kind = first.IsTuple ? "tuple" : "list";
            throw TemplateFault.Type($"can only concatenate {kind} (not \"{Types.Name(right)}\") to {kind}");
        }

        return Missing.Value;
    }

    private static object? Repeat(object? left, object? right)
    {
        if (!Integers.Is(right))
            (left, right) = (right, left);
        bool repeatable = left is string or Markup or PySequence;
        if (!Integers.Is(right))
        {
            if (repeatable || right is string or Markup or PySequence)
                throw TemplateFault.Type($"can't multiply sequence by non-int of type '{Types.Name(repeatable ? right : left)}'");
            return Missing.Value;
        }

        int count = Math.Max(0, Integers.Clamp(right));
        if (left is PySequence sequence)
        {
            Budget.Items((long)sequence.Count * count);
            object?[] items = new object?[sequence.Count * count];
            for (int i = 0; i < count; i++)
                sequence.Items.CopyTo(items.AsSpan(i * sequence.Count));
            return PySequence.Make(items, sequence.IsTuple);
        }

        if (!PyText.TryGet(left, out string? text))
            return Missing.Value;
        Budget.Text((long)text.Length * count);
        string repeated = text.Length == 1 ? new string(text[0], count) : string.Concat(Enumerable.Repeat(text, count));
        return left is Markup ? new Markup(repeated) : repeated;
    }

    /// <summary>Python's <c>==</c>.</summary>
    public static bool AreEqual(object? left, object? right)
    {
        if (PyText.TryGet(left, out string? a))
        {
            if (!PyText.TryGet(right, out string? b) || a.Length != b.Length)
                return false;
            Budget.Scan(a.Length);
            return string.Equals(a, b);
        }

        switch (left)
        {
            case null: return right is null;
            case Undefined: return right is Undefined;
            case PySequence first: return right is PySequence second && SequencesEqual(first, second);
            case PyDict dict: return right is PyDict otherDict && DictsEqual(dict, otherDict);
            case PyRange range:
                return right is PyRange otherRange && range.Count == otherRange.Count
                    && (range.Count == 0 || (range.Start == otherRange.Start && (range.Count == 1 || range.Step == otherRange.Step)));
            case PyView { Kind: not ViewKind.Values } view:
                return right is PyView { Kind: not ViewKind.Values } other && view.Dict.Count == other.Dict.Count && view.Items.All(i => Contains(other, i));
        }

        if (IsNumber(left))
            return IsNumber(right) && CompareNumbers(left!, right!) == 0;
        return left is PyView ? ReferenceEquals(left, right) : Equals(left, right);
    }

    private static bool SequencesEqual(PySequence first, PySequence second)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (first.IsTuple != second.IsTuple || first.Count != second.Count)
            return false;
        if (ReferenceEquals(first, second))
            return true;
        for (int i = 0; i < first.Count; i++)
        {
            Budget.Charge(1);
            if (!AreEqual(first[i], second[i]))
                return false;
        }

        return true;
    }

    private static bool DictsEqual(PyDict first, PyDict second)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (first.Count != second.Count)
            return false;
        if (ReferenceEquals(first, second))
            return true;
        foreach (KeyValuePair<object?, object?> entry in first.Entries)
        {
            Budget.Charge(1);
            if (!second.TryGet(entry.Key, out object? value) || !AreEqual(entry.Value, value))
                return false;
        }

        return true;
    }

    /// <summary>-1, 0 or 1; 2 when a NaN makes the numbers unordered.</summary>
    public static int CompareNumbers(object left, object right)
    {
        if (left is long a && right is long b)
            return a.CompareTo(b);
        if (left is double || right is double)
        {
            if ((left is double x && double.IsNaN(x)) || (right is double y && double.IsNaN(y)))
                return 2;
            if (left is double p && right is double q)
                return p.CompareTo(q);
            double real = left is double l ? l : (double)right;
            BigInteger whole = Integers.Big(left is double ? right : left);
            int order = double.IsInfinity(real) ? Math.Sign(real) : CompareExactly(real, whole);
            return left is double ? order : -order;
        }

        return Integers.Big(left).CompareTo(Integers.Big(right));
    }

    private static int CompareExactly(double real, BigInteger whole)
    {
        (BigInteger numerator, BigInteger denominator) = FloatText.Rational(real);
        return numerator.CompareTo(whole * denominator);
    }

    /// <summary>Python's order of strings: by code point.</summary>
    public static int CompareText(string left, string right)
    {
        Budget.Scan(Math.Min(left.Length, right.Length));
        int common = left.AsSpan().CommonPrefixLength(right);
        if (common == left.Length || common == right.Length)
            return left.Length.CompareTo(right.Length);
        char a = left[common], b = right[common];

        // Surrogates stand for code points above every other unit.
        return char.IsSurrogate(a) != char.IsSurrogate(b) ? (char.IsSurrogate(a) ? 1 : -1) : a.CompareTo(b);
    }

    /// <summary>Python's <c>&lt;</c>, <c>&lt;=</c>, <c>&gt;</c> and <c>&gt;=</c>.</summary>
    public static bool Order(string op, object? left, object? right)
    {
        if (left is Undefined first)
            throw first.Fault();
        if (right is Undefined second)
            throw second.Fault();
        int order;
        if (IsNumber(left) && IsNumber(right))
            order = CompareNumbers(left!, right!);
        else if (PyText.TryGet(left, out string? a) && PyText.TryGet(right, out string? b))
            order = CompareText(a, b);
        else if (left is PySequence x && right is PySequence y && x.IsTuple == y.IsTuple)
            return OrderSequences(op, x, y);
        else
            throw TemplateFault.Type($"'{op}' not supported between instances of '{Types.Name(left)}' and '{Types.Name(right)}'");
        return order != 2 && Holds(op, order);
    }

    private static bool OrderSequences(string op, PySequence left, PySequence right)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        for (int i = 0; i < Math.Min(left.Count, right.Count); i++)
        {
            Budget.Charge(1);
            if (!AreEqual(left[i], right[i]))
                return Order(op, left[i], right[i]);
        }

        return Holds(op, left.Count.CompareTo(right.Count));
    }

    private static bool Holds(string op, int order) => op switch { "<" => order < 0, "<=" => order <= 0, ">" => order > 0, _ => order >= 0 };

    /// <summary>Python's <c>in</c>.</summary>
    public static bool Contains(object? container, object? item)
    {
        switch (container)
        {
            case string or Markup:
                PyText.TryGet(container, out string? text);
                if (!PyText.TryGet(item, out string? part))
                    throw TemplateFault.Type($"'in <string>' requires string as left operand, not {Types.Name(item)}");
                Budget.Scan(text!.Length);
                return text.Contains(part, StringComparison.Ordinal);
            case PyDict dict: return dict.Contains(item);
            case PyView { Kind: ViewKind.Keys } view: return view.Dict.Contains(item);
            case PyView { Kind: ViewKind.Items } view:
                return item is PySequence { IsTuple: true, Count: 2 } pair && view.Dict.TryGet(pair[0], out object? value) && AreEqual(value, pair[1]);
            case PyRange range when Integers.TryLong(item, out long number):
                Int128 distance = (Int128)number - range.Start;
                return distance % range.Step == 0 && distance / range.Step >= 0 && distance / range.Step < range.Count;
        }

        if (!Types.IsIterable(container))
            throw TemplateFault.Type($"argument of type '{Types.Name(container)}' is not iterable");
        foreach (object? candidate in Types.Iterate(container))
        {
            if (AreEqual(candidate, item))
                return true;
        }

        return false;
    }
}

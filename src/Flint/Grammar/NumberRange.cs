using System.Globalization;
using System.Numerics;

namespace Flint.Grammar;

/// <summary>An exact decimal number: digits, and how many of them stand behind the point.</summary>
/// <param name="Digits">The number without its point.</param>
/// <param name="Scale">Digits behind the point, 0 or more.</param>
internal readonly record struct ExactNumber(BigInteger Digits, int Scale) : IComparable<ExactNumber>
{
    private const int MaxDigits = 400;

    /// <summary>Reads a number of JSON.</summary>
    /// <returns>Null where it has more digits than are reckoned with.</returns>
    public static ExactNumber? Read(string text)
    {
        int e = text.IndexOfAny(['e', 'E']);
        string mantissa = e < 0 ? text : text[..e];
        int exponent = 0;
        if (e >= 0 && !int.TryParse(text[(e + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out exponent))
            return null;
        int point = mantissa.IndexOf('.');
        int scale = (point < 0 ? 0 : mantissa.Length - point - 1) - exponent;
        if (mantissa.Length > MaxDigits || Math.Abs(scale) > MaxDigits)
            return null;
        var digits = BigInteger.Parse(mantissa.Replace(".", "", StringComparison.Ordinal), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        if (scale < 0)
            (digits, scale) = (digits * BigInteger.Pow(10, -scale), 0);
        while (scale > 0 && digits % 10 == 0)
            (digits, scale) = (digits / 10, scale - 1);
        return new ExactNumber(digits, scale);
    }

    /// <summary>Whether it has no fraction.</summary>
    public bool IsInteger => Scale == 0;

    /// <inheritdoc/>
    public int CompareTo(ExactNumber other) =>
        (Digits * BigInteger.Pow(10, Math.Max(0, other.Scale - Scale))).CompareTo(other.Digits * BigInteger.Pow(10, Math.Max(0, Scale - other.Scale)));
}

/// <summary>Numbers from one bound to another, written without exponents.</summary>
internal static class NumberRange
{
    /// <summary>The numbers of a range.</summary>
    /// <param name="json">Makes the expressions.</param>
    /// <param name="least">The lower bound; null for none.</param>
    /// <param name="most">The upper bound; null for none.</param>
    /// <param name="excludesLeast">Whether the lower bound itself is out.</param>
    /// <param name="excludesMost">Whether the upper bound itself is out.</param>
    public static Language Between(JsonLanguage json, ExactNumber? least, ExactNumber? most, bool excludesLeast, bool excludesMost)
    {
        Language result = json.Decimal;
        if (least is { } low)
            result = json.Automaton.Both(result, Above(json, low, excludesLeast));
        if (most is { } high)
            result = json.Automaton.Both(result, json.Automaton.Not(Above(json, high, !excludesMost)));
        return result;
    }

    /// <summary>Numbers above a bound, or at it; among others that are no numbers at all.</summary>
    private static Language Above(JsonLanguage json, ExactNumber bound, bool isStrict)
    {
        Automaton automaton = json.Automaton;
        Language minus = automaton.Literal("-"u8);
        if (bound.Digits.Sign < 0)
        {
            // All from zero on, and of the negative ones those whose size is not beyond the bound's.
            Language size = Size(json, bound with { Digits = -bound.Digits }, isStrict: !isStrict);
            return automaton.Either(AnySize(json), automaton.Then(minus, automaton.Both(AnySize(json), automaton.Not(size))));
        }

        Language positive = Size(json, bound, isStrict);
        return bound.Digits.IsZero && !isStrict ? automaton.Either(positive, automaton.Then(minus, Zero(json))) : positive;
    }

    private static Language AnySize(JsonLanguage json) => json.Automaton.Then(json.Whole, Fraction(json));

    private static Language Zero(JsonLanguage json) =>
        json.Automaton.Then(json.Automaton.Literal("0"u8), json.Automaton.Optional(json.Automaton.Then(json.Automaton.Literal("."u8), json.Automaton.Repeat(json.Automaton.Literal("0"u8), 1))));

    private static Language Fraction(JsonLanguage json) =>
        json.Automaton.Optional(json.Automaton.Then(json.Automaton.Literal("."u8), json.Automaton.Repeat(json.Digit, 1)));

    /// <summary>Numbers without a sign that are at least as great as one, or greater.</summary>
    private static Language Size(JsonLanguage json, ExactNumber bound, bool isStrict)
    {
        Automaton automaton = json.Automaton;
        string digits = bound.Digits.ToString(CultureInfo.InvariantCulture).PadLeft(bound.Scale + 1, '0');
        string whole = digits[..^bound.Scale], fraction = digits[^bound.Scale..];
        var parts = new List<Language>
        {
            // more digits before the point
            automaton.Then(automaton.Bytes(ByteSet.Range('1', '9')), automaton.Repeat(json.Digit, whole.Length), Fraction(json)),
        };
        for (int i = 0; i < whole.Length; i++)
        {
            if (whole[i] != '9')
                parts.Add(automaton.Then(Digits(automaton, whole[..i]), automaton.Bytes(ByteSet.Range(whole[i] + 1, '9')), automaton.Repeat(json.Digit, whole.Length - i - 1, whole.Length - i - 1), Fraction(json)));
        }

        Language same = Digits(automaton, whole), point = automaton.Literal("."u8), zeros = automaton.Repeat(automaton.Literal("0"u8));
        for (int i = 0; i < fraction.Length; i++)
        {
            if (fraction[i] != '9')
                parts.Add(automaton.Then(same, point, Digits(automaton, fraction[..i]), automaton.Bytes(ByteSet.Range(fraction[i] + 1, '9')), automaton.Repeat(json.Digit)));
        }

        Language more = automaton.Then(zeros, automaton.Bytes(ByteSet.Range('1', '9')), automaton.Repeat(json.Digit));
        Language equal = automaton.Then(same, point, Digits(automaton, fraction));
        parts.Add(automaton.Then(equal, more));
        if (!isStrict)
        {
            parts.Add(fraction.Length == 0 ? automaton.Then(equal, automaton.Repeat(automaton.Literal("0"u8), 1)) : automaton.Then(equal, zeros));
            if (fraction.Length == 0)
                parts.Add(same);
        }

        return automaton.Either([.. parts]);
    }

    private static Language Digits(Automaton automaton, string digits) => automaton.Literal(System.Text.Encoding.ASCII.GetBytes(digits));
}

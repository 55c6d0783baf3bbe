using System.Globalization;
using System.Numerics;

namespace Flint.Dialects;

/// <summary>Python integers: <see cref="long"/> while they fit, <see cref="BigInteger"/> beyond, bounded in size.</summary>
internal static class Integers
{
    private const int SmallestShared = -16;

    private static readonly object[] Shared = [.. Enumerable.Range(SmallestShared, 1024 - SmallestShared).Select(n => (object)(long)n)];

    public static readonly object True = true;

    public static readonly object False = false;

    public static object Box(bool value) => value ? True : False;

    public static object Box(long value) =>
        (ulong)(value - SmallestShared) < (ulong)Shared.Length ? Shared[value - SmallestShared] : value;

    public static object Box(BigInteger value)
    {
        if (value >= long.MinValue && value <= long.MaxValue)
            return Box((long)value);
        if (value.GetBitLength() > TemplateLimits.IntegerBits)
            throw TemplateFault.Limit($"an integer may have {TemplateLimits.IntegerBits} bits");
        Budget.Charge(value.GetByteCount() >> 3);
        return value;
    }

    /// <summary>Whether the value is an integer in Python's sense, which <c>True</c> and <c>False</c> are.</summary>
    public static bool Is(object? value) => value is long or bool or BigInteger;

    /// <summary>Whether the value is an integer that fits a <see cref="long"/>.</summary>
    public static bool TryLong(object? value, out long number)
    {
        number = value switch { long n => n, bool b => b ? 1 : 0, _ => 0 };
        return value is long or bool;
    }

    public static BigInteger Big(object value) => value switch
    {
        long number => number,
        bool flag => flag ? 1 : 0,
        _ => (BigInteger)value,
    };

    /// <summary>The value as an index or count; larger than <see cref="int"/> is clamped, as slices do.</summary>
    public static int Clamp(object? value, string what = "integer")
    {
        if (value is BigInteger big)
            return big.Sign < 0 ? int.MinValue : int.MaxValue;
        if (!TryLong(value, out long number))
            throw TemplateFault.Type($"'{Types.Name(value)}' object cannot be interpreted as an {what}");
        return (int)Math.Clamp(number, int.MinValue, int.MaxValue);
    }

    public static string Text(BigInteger value)
    {
        if (value.GetBitLength() > TemplateLimits.IntegerDigits * 10 / 3 && BigInteger.Abs(value) >= BigInteger.Pow(10, TemplateLimits.IntegerDigits))
            throw TemplateFault.Value($"Exceeds the limit ({TemplateLimits.IntegerDigits} digits) for integer string conversion");
        Budget.Charge(value.GetByteCount());
        return value.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Python's <c>int(text, radix)</c>; false where Python raises ValueError.</summary>
    public static bool TryParse(string text, int radix, out BigInteger value)
    {
        value = 0;
        ReadOnlySpan<char> digits = PyText.Trim(text).AsSpan();
        if ((radix != 0 && (radix < 2 || radix > 36)) || digits.Length == 0)
            return false;
        bool negative = digits[0] == '-';
        if (digits[0] is '-' or '+')
            digits = digits[1..];
        bool prefixed = false;
        if (digits.Length > 1 && digits[0] == '0')
        {
            int named = (digits[1] | 32) switch { 'x' => 16, 'o' => 8, 'b' => 2, _ => 0 };
            if (named != 0 && (radix == 0 || radix == named))
            {
                radix = named;
                digits = digits[2..];
                prefixed = true;
            }
            else if (radix == 0 && digits.IndexOfAnyExcept('0', '_') >= 0)
            {
                return false;
            }
        }

        if (radix == 0)
            radix = 10;
        if (digits.Length > TemplateLimits.IntegerDigits)
            throw TemplateFault.Value($"Exceeds the limit ({TemplateLimits.IntegerDigits} digits) for integer string conversion");
        Budget.Charge((long)digits.Length * digits.Length >> 6);
        bool previousDigit = prefixed;
        foreach (char c in digits)
        {
            if (c == '_' && previousDigit)
            {
                previousDigit = false;
                continue;
            }

            int digit = PyText.DigitValue(c);
            if (digit >= radix)
                return false;
            value = (value * radix) + digit;
            previousDigit = true;
        }

        if (negative)
            value = -value;
        return previousDigit && digits.Length > 0;
    }
}

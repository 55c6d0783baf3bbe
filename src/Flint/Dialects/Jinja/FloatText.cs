using System.Globalization;
using System.Numerics;
using System.Text;

namespace Flint.Dialects;

/// <summary>Decimal text of doubles as Python prints it: shortest round-trip text, and exact rounding, half to even, to given digits.</summary>
internal static class FloatText
{
    /// <summary>Python's <c>repr</c> of a float.</summary>
    public static string Repr(double value)
    {
        if (!double.IsFinite(value))
            return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        string shortest = value.ToString("R", CultureInfo.InvariantCulture);
        (string digits, int exponent) = Digits(shortest);
        string sign = double.IsNegative(value) ? "-" : "";
        return sign + Layout(digits, exponent, -4, 16, true);
    }

    /// <summary>The value rounded to <paramref name="precision"/> digits after the point (<c>%f</c>); the sign is kept.</summary>
    public static string Fixed(double value, int precision)
    {
        if (!double.IsFinite(value))
            return NonFinite(value);
        BigInteger scaled = RoundScaled(value, precision);
        string digits = BigInteger.Abs(scaled).ToString(CultureInfo.InvariantCulture).PadLeft(precision + 1, '0');
        string text = precision == 0 ? digits : $"{digits[..^precision]}.{digits[^precision..]}";
        return double.IsNegative(value) ? "-" + text : text;
    }

    /// <summary>The value with <paramref name="precision"/> digits after the first (<c>%e</c>).</summary>
    public static string Scientific(double value, int precision)
    {
        if (!double.IsFinite(value))
            return NonFinite(value);
        (string digits, int exponent) = Significant(value, precision + 1);
        string mantissa = precision == 0 ? digits : $"{digits[..1]}.{digits[1..]}";
        return (double.IsNegative(value) ? "-" : "") + mantissa + Exponent(exponent);
    }

    /// <summary>The value with <paramref name="precision"/> significant digits (<c>%g</c>).</summary>
    public static string General(double value, int precision, bool keepZeros)
    {
        if (!double.IsFinite(value))
            return NonFinite(value);
        precision = Math.Max(precision, 1);
        (string digits, int exponent) = Significant(value, precision);
        if (!keepZeros)
            digits = digits.TrimEnd('0') is { Length: > 0 } trimmed ? trimmed : "0";
        return (double.IsNegative(value) ? "-" : "") + Layout(digits, exponent, -4, precision, false);
    }

    /// <summary>Python's <c>round(value, digits)</c>.</summary>
    public static double Round(double value, int digits)
    {
        if (!double.IsFinite(value) || digits > 323)
            return value;
        if (digits < -308)
            return double.CopySign(0, value);
        BigInteger scaled = RoundScaled(value, digits);
        double rounded = double.Parse($"{scaled}E{-digits}", NumberStyles.Float, CultureInfo.InvariantCulture);
        if (double.IsInfinity(rounded))
            throw new TemplateFault("OverflowError", "rounded value too large to represent");
        return rounded == 0 ? double.CopySign(0, value) : rounded;
    }

    /// <summary>value · 10^digits as an exact rational, rounded half to even.</summary>
    private static BigInteger RoundScaled(double value, int digits)
    {
        (BigInteger numerator, BigInteger denominator) = Rational(value);
        if (digits >= 0)
            numerator *= BigInteger.Pow(10, digits);
        else
            denominator *= BigInteger.Pow(10, -digits);
        return DivideHalfEven(numerator, denominator);
    }

    private static BigInteger DivideHalfEven(BigInteger numerator, BigInteger denominator)
    {
        BigInteger quotient = BigInteger.DivRem(BigInteger.Abs(numerator), denominator, out BigInteger rest);
        int half = (rest * 2).CompareTo(denominator);
        if (half > 0 || (half == 0 && !quotient.IsEven))
            quotient++;
        return numerator.Sign < 0 ? -quotient : quotient;
    }

    public static (BigInteger Numerator, BigInteger Denominator) Rational(double value)
    {
        long bits = BitConverter.DoubleToInt64Bits(value);
        int exponent = (int)((bits >> 52) & 0x7FF);
        long mantissa = bits & 0xFFFFFFFFFFFFF;
        if (exponent == 0)
            exponent++;
        else
            mantissa |= 1L << 52;
        exponent -= 1075;
        BigInteger signed = value < 0 ? -mantissa : mantissa;
        return exponent >= 0 ? (signed << exponent, BigInteger.One) : (signed, BigInteger.One << -exponent);
    }

    /// <summary>Exactly <paramref name="count"/> significant digits and the decimal exponent of the first.</summary>
    private static (string Digits, int Exponent) Significant(double value, int count)
    {
        if (value == 0)
            return (new string('0', count), 0);
        int exponent = (int)Math.Floor(Math.Log10(Math.Abs(value)));
        while (true)
        {
            string digits = BigInteger.Abs(RoundScaled(value, count - 1 - exponent)).ToString(CultureInfo.InvariantCulture);
            if (digits.Length == count)
                return (digits, exponent);
            exponent += digits.Length > count ? 1 : -1;
        }
    }

    /// <summary>Digits and exponent out of .NET's shortest text.</summary>
    private static (string Digits, int Exponent) Digits(string text)
    {
        text = text.TrimStart('-');
        int e = text.IndexOf('E', StringComparison.Ordinal);
        int exponent = e >= 0 ? int.Parse(text.AsSpan(e + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) : 0;
        if (e >= 0)
            text = text[..e];
        int point = text.IndexOf('.', StringComparison.Ordinal);
        string whole = point >= 0 ? text[..point] : text;
        string digits = whole + (point >= 0 ? text[(point + 1)..] : "");
        exponent += whole.Length - 1;
        string significant = digits.TrimStart('0');
        exponent -= digits.Length - significant.Length;
        significant = significant.TrimEnd('0');
        return significant.Length == 0 ? ("0", 0) : (significant, exponent);
    }

    /// <summary>Writes digits plainly when the exponent lies in [low, high), otherwise with an exponent.</summary>
    private static string Layout(string digits, int exponent, int low, int high, bool pointZero)
    {
        if (exponent < low || exponent >= high)
            return (digits.Length > 1 ? $"{digits[..1]}.{digits[1..]}" : digits) + Exponent(exponent);
        var text = new StringBuilder();
        if (exponent < 0)
            return text.Append("0.").Append('0', -exponent - 1).Append(digits).ToString();
        if (digits.Length > exponent + 1)
            return text.Append(digits, 0, exponent + 1).Append('.').Append(digits, exponent + 1, digits.Length - exponent - 1).ToString();
        text.Append(digits).Append('0', exponent + 1 - digits.Length);
        return text.Append(pointZero ? ".0" : "").ToString();
    }

    private static string Exponent(int exponent) => $"e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";

    private static string NonFinite(double value) => double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

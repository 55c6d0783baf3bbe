using System.Text;

namespace Flint.App.Nano;

/// <summary>Sums worked out on paper: digit by digit, with what is carried, borrowed and left over.</summary>
internal static class WrittenSum
{
    /// <summary>The steps of a sum of two numbers from 0, such as <c>5 + 6 = 11, 4 + 7 + 1 = 12</c> of 45 + 76; empty where it is one step itself.</summary>
    internal static string Work(int left, char operation, int right) => operation switch
    {
        '+' => Add(left, right),
        '-' => Subtract(left, right),
        '*' => left < 10 ? Multiply(left, right) : Multiply(right, left),
        _ => Divide(left, right),
    };

    private static string Add(int left, int right)
    {
        if (left < 10 && right < 10) return "";
        var work = new StringBuilder();
        for (int carry = 0; left > 0 || right > 0; left /= 10, right /= 10)
        {
            int sum = left % 10 + right % 10 + carry;
            Step(work, $"{left % 10} + {right % 10}{(carry > 0 ? " + 1" : "")} = {sum}");
            carry = sum / 10;
        }

        return work.ToString();
    }

    // A digit too small borrows ten from the next one.
    private static string Subtract(int left, int right)
    {
        if (left < 10) return "";
        var work = new StringBuilder();
        for (int borrow = 0; left > 0; left /= 10, right /= 10)
        {
            int from = left % 10 - borrow;
            borrow = from < right % 10 ? 1 : 0;
            from += 10 * borrow;
            Step(work, $"{from} - {right % 10} = {from - right % 10}");
        }

        return work.ToString();
    }

    private static string Multiply(int digit, int number)
    {
        if (number < 10 || digit > 9) return "";
        var work = new StringBuilder();
        for (int carry = 0; number > 0; number /= 10)
        {
            int product = digit * (number % 10) + carry;
            Step(work, $"{digit} * {number % 10}{(carry > 0 ? $" + {carry}" : "")} = {product}");
            carry = product / 10;
        }

        return work.ToString();
    }

    private static string Divide(int number, int by)
    {
        if (number < 10 * by && number <= 81 || by > 9) return "";
        var work = new StringBuilder();
        int rest = 0;
        foreach (char c in $"{number}")
        {
            int part = rest * 10 + (c - '0');
            rest = part % by;
            if (part >= by || work.Length > 0) Step(work, $"{part} / {by} = {part / by}{(rest > 0 ? $" rest {rest}" : "")}");
        }

        return work.ToString();
    }

    private static void Step(StringBuilder work, string step) => work.Append(work.Length == 0 ? "" : ", ").Append(step);
}

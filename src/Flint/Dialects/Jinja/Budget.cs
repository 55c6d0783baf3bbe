using System.Runtime.CompilerServices;

namespace Flint.Dialects;

/// <summary>What the rendering on this thread has spent. A rendering runs on one thread from start to end.</summary>
internal sealed class Budget
{
    /// <summary>The cost of a small object in the units of <see cref="TemplateLimits.Allocation"/>, which are characters.</summary>
    private const int ObjectUnits = 16;

    [ThreadStatic]
    private static Budget? current;

    private long steps;
    private long allocated;
    private int callDepth;

    /// <summary>Runs <paramref name="work"/> with a fresh budget.</summary>
    public static T Run<T>(Func<T> work)
    {
        Budget? outer = current;
        current = new Budget();
        try
        {
            return work();
        }
        catch (InsufficientExecutionStackException)
        {
            throw TemplateFault.Limit("the template nests deeper than the stack allows");
        }
        finally
        {
            current = outer;
        }
    }

    /// <summary>Counts one step and makes sure that the stack has room for another call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Step()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        Charge(1);
    }

    /// <summary>Counts <paramref name="count"/> steps.</summary>
    public static void Charge(long count)
    {
        Budget? budget = current;
        if (budget is not null && (budget.steps += count) > TemplateLimits.Steps)
            throw TemplateFault.Limit($"rendering takes more than {TemplateLimits.Steps} steps");
    }

    /// <summary>Counts the reading of <paramref name="length"/> characters.</summary>
    public static void Scan(long length) => Charge(length >> 4);

    /// <summary>Counts a string of <paramref name="length"/> characters about to be made.</summary>
    public static void Text(long length)
    {
        if (length > TemplateLimits.TextLength)
            throw TemplateFault.Limit($"a string may have {TemplateLimits.TextLength} characters, this one would have {length}");
        Charge(1 + (length >> 4));
        Allocate(ObjectUnits + length);
    }

    /// <summary>Counts a list of <paramref name="count"/> items about to be made.</summary>
    public static void Items(long count)
    {
        if (count > TemplateLimits.Weight)
            throw TemplateFault.Limit($"a list may have {TemplateLimits.Weight} items, this one would have {count}");
        Charge(4 + (count >> 2));
        Allocate((2 * ObjectUnits) + (count * 4));
    }

    /// <summary>Counts one item, with its value, about to be put into a growing list or mapping.</summary>
    public static void Slot()
    {
        Charge(1);
        Allocate(2 * ObjectUnits);
    }

    /// <summary>Counts an object of some fields about to be made.</summary>
    public static void Object()
    {
        Charge(4);
        Allocate(8 * ObjectUnits);
    }

    public static void EnterCall()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (current is { } budget && ++budget.callDepth > TemplateLimits.CallDepth)
            throw new TemplateFault("RecursionError", $"calls nest deeper than {TemplateLimits.CallDepth}");
    }

    public static void LeaveCall()
    {
        if (current is { } budget)
            budget.callDepth--;
    }

    private static void Allocate(long units)
    {
        if (current is { } budget && (budget.allocated += units) > TemplateLimits.Allocation)
            throw TemplateFault.Limit($"rendering creates more than {TemplateLimits.Allocation} characters and items");
    }
}

namespace Flint.App.Tests;

/// <summary>Looks at what a budget has used and reserved, again and again, on a thread of its own.</summary>
internal sealed class BudgetWatch
{
    private readonly Thread _thread;
    private readonly TaskCompletionSource _looked = new();
    private volatile bool _ends;
    private string? _fault;

    /// <summary>Begins, and comes back after the first look.</summary>
    internal BudgetWatch(Func<long> tokens, long budget)
    {
        _thread = new Thread(() =>
        {
            try
            {
                while (!_ends)
                {
                    long now = tokens();
                    if (now < 0 || now > budget)
                        _fault ??= $"{now} of {budget} tokens";
                    _looked.TrySetResult();
                }
            }
            catch (Exception error)
            {
                _fault ??= error.ToString(); // a test that failed has taken the store away
                _looked.TrySetResult();
            }
        }) { IsBackground = true };
        _thread.Start();
        _looked.Task.Wait();
    }

    /// <summary>Ends; what was seen must have kept to the budget.</summary>
    internal void End()
    {
        _ends = true;
        _thread.Join();
        Assert.Null(_fault);
    }
}

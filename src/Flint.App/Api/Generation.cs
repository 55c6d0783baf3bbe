using Flint.App.Serving;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>Runs the choices of one request side by side.</summary>
internal static class Generation
{
    /// <summary>Reads every choice to its end; hands each batch of news, of one choice at a time, to <paramref name="tell"/>.</summary>
    /// <param name="choices">The choices.</param>
    /// <param name="tell">What to do with news; not called for two choices at once.</param>
    /// <param name="cancellation">The client has left.</param>
    public static async Task RunAsync<T>(IReadOnlyList<T> choices, Func<T, ValueTask> tell, CancellationToken cancellation)
        where T : Choice
    {
        if (choices.Count == 1)
        {
            while (await choices[0].ReadAsync(cancellation))
            {
                await choices[0].JudgeAsync(cancellation);
                if (choices[0].HasNews)
                    await tell(choices[0]);
            }

            return;
        }

        // The first failure ends the others' waiting; it is the one reported.
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var turn = new SemaphoreSlim(1);
        Exception? first = null;
        await Task.WhenAll(choices.Select(PumpAsync));
        if (first is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);

        async Task PumpAsync(T choice)
        {
            try
            {
                while (await choice.ReadAsync(failed.Token))
                {
                    await choice.JudgeAsync(failed.Token);
                    if (!choice.HasNews)
                        continue;
                    await turn.WaitAsync(failed.Token);
                    try
                    {
                        await tell(choice);
                    }
                    finally
                    {
                        turn.Release();
                    }
                }
            }
            catch (Exception error)
            {
                Interlocked.CompareExchange(ref first, error, null);
                await failed.CancelAsync();
            }
        }
    }

    /// <summary>The same within a time; once that is over, what was written until then is the answer.</summary>
    public static async Task RunAsync<T>(IReadOnlyList<T> choices, Func<T, ValueTask> tell, TimeLimit limit)
        where T : Choice
    {
        try
        {
            await RunAsync(choices, tell, limit.Token);
        }
        catch (OperationCanceledException) when (limit.HasPassed)
        {
            foreach (T choice in choices)
            {
                await choice.CutOffAsync();
                await choice.JudgeAsync(CancellationToken.None); // what was not told is still to be judged
            }
        }
    }

    /// <summary>Cancels what still runs and waits for its end, so that its usage is final. Needs no client.</summary>
    public static async Task CancelAsync(IReadOnlyList<Sequence> sequences)
    {
        foreach (Sequence sequence in sequences)
            sequence.Cancel();
        foreach (Sequence sequence in sequences)
        {
            while (await sequence.WaitAsync())
            {
                while (sequence.TryRead(out _))
                {
                }
            }
        }
    }

    /// <summary>The finish reasons of some choices, each once.</summary>
    public static string Reasons(IEnumerable<string?> reasons) =>
        string.Join(',', reasons.Distinct().Order(StringComparer.Ordinal));

    /// <summary>Refuses token ids outside the vocabulary in a field of the request.</summary>
    public static void CheckTokens(ServedModel model, IEnumerable<int> tokens, string parameter)
    {
        foreach (int token in tokens)
        {
            if (token >= model.Tokenizer.Count)
                throw ApiException.Invalid(parameter, "invalid_token", $"Invalid '{parameter}': token {token} is not in the vocabulary of {model.Tokenizer.Count}.");
        }
    }
}

using Flint.App.Nano;
using Flint.App.Serving;

namespace Flint.App.Eval;

/// <summary>Has a model answer held-out items of nano's world and counts how many it answers rightly.</summary>
public sealed class Evaluation
{
    // A needle item has at least this share of the tokens asked for, and at most all but these.
    private const double NeedleLeast = 1850.0 / 2048;
    private const int NeedleSpare = 8;

    private readonly EvaluationOptions _options;
    private readonly Func<NanoItem, int, CancellationToken, Task<ModelTurn>> _answer;
    private readonly Func<NanoItem, int> _count;

    /// <summary>Evaluates a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">What.</param>
    /// <exception cref="FlintException">Caller: the needle items asked for are longer than the model's context.</exception>
    public Evaluation(ServedModel model, EvaluationOptions options)
        : this(options.Mode == EvaluationMode.Greedy ? new Responder(model).AnswerAsync : new Contemplator(model, options).AnswerAsync, new Responder(model).Count, options)
    {
        if (options.Tasks.Contains("needle") && options.NeedleTokens > model.ContextLength)
            throw FlintException.Caller("context_too_short", $"needle items of {options.NeedleTokens} tokens do not fit the model's context of {model.ContextLength}");
    }

    /// <summary>Evaluates whatever answers.</summary>
    /// <param name="answer">Gives the turn at a place of an item; called from several threads.</param>
    /// <param name="count">Counts the tokens of an item with its answers; called from several threads.</param>
    /// <param name="options">What.</param>
    internal Evaluation(Func<NanoItem, int, CancellationToken, Task<ModelTurn>> answer, Func<NanoItem, int> count, EvaluationOptions options)
    {
        foreach (string task in options.Tasks) NanoWorld.CheckTask(task);
        _options = options;
        _answer = answer;
        _count = count;
    }

    /// <summary>Runs all tasks.</summary>
    /// <param name="progress">Told the task, the items done and all its items; not by two threads at once.</param>
    /// <param name="cancel">Ends the run.</param>
    public async Task<IReadOnlyList<TaskResult>> RunAsync(Action<string, int, int> progress, CancellationToken cancel)
    {
        var results = new List<TaskResult>();
        foreach (string task in _options.Tasks) results.Add(await RunAsync(task, progress, cancel));
        return results;
    }

    private async Task<TaskResult> RunAsync(string task, Action<string, int, int> progress, CancellationToken cancel)
    {
        int items = _options.ItemsOf(task), done = 0;
        var answered = new (NanoItem Item, ModelTurn[] Turns)[items];
        var turn = new Lock();
        progress(task, 0, items);
        await Parallel.ForAsync(0, items, new ParallelOptions { MaxDegreeOfParallelism = _options.Parallel, CancellationToken = cancel }, async (i, stop) =>
        {
            NanoItem item = Draw(task, i);
            var turns = new List<ModelTurn>();
            foreach (int place in item.Graded) turns.Add(await _answer(item, place, stop));
            answered[i] = (item, [.. turns]);
            lock (turn) progress(task, ++done, items);
        });
        // In the order of the items, so that equal runs report equally.
        var result = new TaskResult(task);
        foreach ((NanoItem item, ModelTurn[] turns) in answered)
        {
            result.Add(item, turns, _options.Wrong);
            if (_options.Traces is { } traces) Report.WriteTraces(traces, item, turns);
        }
        return result;
    }

    private NanoItem Draw(string task, int index) => task == "needle"
        ? NanoWorld.HeldOutNeedle(_options.Seed, index, _count, (int)(_options.NeedleTokens * NeedleLeast), _options.NeedleTokens - NeedleSpare, _options.Strength)
        : NanoWorld.HeldOut(_options.Seed, task, index, _options.Strength);
}

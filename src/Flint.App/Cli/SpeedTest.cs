using System.Diagnostics;
using Flint.Kernels;
using Flint.Models;

namespace Flint.App.Cli;

/// <summary>A model with room for timed runs of its forward pass.</summary>
internal sealed class SpeedTest : IDisposable
{
    private const int BatchRows = 512; // llama-bench's n_ubatch

    private readonly KvPool _pool;
    private readonly Batch _batch;
    private readonly int[] _tokens;
    private readonly SequenceState _shared;
    private readonly SequenceState[] _states;

    /// <summary>Loads a model.</summary>
    /// <param name="path">Its file.</param>
    /// <param name="longest">The most tokens of a sequence.</param>
    /// <param name="sequences">The most sequences that decode side by side.</param>
    /// <param name="own">The most tokens that each of these has for itself.</param>
    /// <param name="threads">Threads; 0 for one per core.</param>
    /// <param name="kvFormat">How keys and values are kept; null as usual.</param>
    public SpeedTest(string path, int longest, int sequences, int own, int threads, KvFormat? kvFormat)
    {
        Model = Model.Load(path, new ModelOptions
        {
            Threads = threads,
            KvFormat = kvFormat,
            ContextLength = longest,
            MaxBatchRows = Math.Max(sequences, Math.Min(BatchRows, longest)),
            MaxSequences = sequences,
            MaxLogitRows = sequences,
        });
        // A sequence begins with a page of its own where the shared ones end within one.
        _pool = new KvPool(Model.Config.KvShape, KvPool.PagesFor(longest) + sequences * (KvPool.PagesFor(own) + 1));
        _batch = new Batch(Model.Options.MaxBatchRows, sequences, sequences);
        var random = new Random(1);
        _tokens = [.. Enumerable.Range(0, longest).Select(_ => random.Next(Model.Config.VocabularySize))];
        _shared = new SequenceState(_pool, longest);
        _states = [.. Enumerable.Range(0, sequences).Select(_ => new SequenceState(_pool, longest))];
    }

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        _pool.Dispose();
        Model.Dispose();
    }

    /// <summary>Evaluates a prompt from an empty context; logits of the last token only.</summary>
    /// <returns>Seconds.</returns>
    public double Prompt(int count, CancellationToken cancel)
    {
        long start = Stopwatch.GetTimestamp();
        Fill(count, cancel);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        _shared.Free();
        return seconds;
    }

    /// <summary>Decodes tokens one after another in every sequence, all of which go on from one context.</summary>
    /// <param name="count">Tokens of each sequence.</param>
    /// <param name="depth">Tokens of the context, whose evaluation is not timed.</param>
    /// <param name="cancel">Ends it.</param>
    /// <returns>Seconds.</returns>
    public double Decode(int count, int depth, CancellationToken cancel)
    {
        Fill(depth, cancel);
        foreach (SequenceState state in _states) _shared.ForkTo(state);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            _batch.Clear();
            for (int s = 0; s < _states.Length; s++)
            {
                _states[s].TryReserve(1); // the pool holds all sequences and nothing else
                _batch.Add(_batch.AddSequence(_states[s]), _tokens[(i + s) % _tokens.Length], depth + i, wantLogits: true);
            }
            Model.Forward(_batch);
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        foreach (SequenceState state in _states) state.Free();
        _shared.Free();
        return seconds;
    }

    private void Fill(int count, CancellationToken cancel)
    {
        for (int from = 0; from < count; from += BatchRows)
        {
            cancel.ThrowIfCancellationRequested();
            int to = Math.Min(from + BatchRows, count);
            _batch.Clear();
            _shared.TryReserve(to - from);
            int sequence = _batch.AddSequence(_shared);
            for (int i = from; i < to; i++) _batch.Add(sequence, _tokens[i], i, wantLogits: i == count - 1);
            Model.Forward(_batch);
        }
    }
}

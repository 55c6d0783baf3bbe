using Flint.Models;

namespace Flint.Engine;

/// <summary>Decides what each step computes: who runs, who waits, which rows go into the batch, and who holds which pages.</summary>
/// <remarks>
/// Among the sequences of one owner age is the only rank. Older ones get pages before younger ones, taking first idle pages of the
/// prefix cache, then the pages of a paused sequence, then those of the youngest; so the oldest always advances, and everything ends.
/// Between owners the one goes first that has had fewer tokens by its weight (<see cref="Tenants"/>): its sequences are the next to run, an
/// owner that is too far ahead of one that waits gives up its youngest place to it, and prompts share rows by weight. What a sequence that
/// lost its pages had computed is computed again, with the same bits, and is not charged again.
/// </remarks>
internal sealed class Scheduler
{
    private const int PageTokens = KvPool.PageTokens;
    private const double RoundingSlack = 1e-6; // of a row

    private readonly KvPool _pool;
    private readonly PrefixTree? _tree;
    private readonly EngineStatistics _statistics;
    private readonly TimeProvider _time;
    private readonly Tenants _tenants;
    private readonly int _maxRunning;
    private readonly int _promptRowsWhileDecoding;
    private readonly Sequence[] _planned; // by index in the batch
    private readonly Sequence[] _prompts; // of the step being planned: those with a chunk of more than one row to compute
    private int _promptCount;

    /// <summary>A scheduler of at most so many sequences, running and waiting together.</summary>
    public Scheduler(
        ForwardPass forward, KvPool pool, PrefixTree? tree, EngineStatistics statistics, TimeProvider time, Tenants tenants,
        int maxRunning, int maxLive, int promptRowsWhileDecoding)
    {
        _pool = pool;
        _tree = tree;
        _statistics = statistics;
        _time = time;
        _tenants = tenants;
        _maxRunning = maxRunning;
        _promptRowsWhileDecoding = promptRowsWhileDecoding;
        Batch = new Batch(forward.MaxBatchRows, forward.MaxSequences, forward.MaxLogitRows);
        Running = new SequenceList(maxRunning);
        Waiting = new SequenceList(maxLive);
        _planned = new Sequence[maxRunning];
        _prompts = new Sequence[maxRunning];
    }

    /// <summary>What the step computes.</summary>
    public Batch Batch { get; }

    /// <summary>Sequences being computed.</summary>
    public SequenceList Running { get; }

    /// <summary>Sequences without pages, waiting for room.</summary>
    public SequenceList Waiting { get; }

    /// <summary>The sequence with an index in <see cref="Batch"/>.</summary>
    public Sequence Planned(int batchIndex) => _planned[batchIndex];

    /// <summary>Takes in a new sequence.</summary>
    public void Add(Sequence sequence)
    {
        sequence.Phase = SequencePhase.Waiting;
        Waiting.Add(sequence);
        _tenants.List(sequence.Tenant);
    }

    /// <summary>Takes out a sequence and releases its pages; what is known of them stays in the prefix cache.</summary>
    public void Remove(Sequence sequence)
    {
        if (sequence.Phase == SequencePhase.Running)
        {
            ReleasePages(sequence);
            Running.Remove(sequence);
            sequence.Tenant.Running--;
        }
        else
        {
            Waiting.Remove(sequence);
        }
        sequence.Phase = SequencePhase.Finished;
        sequence.Tenant.Listed--;
        if (sequence.Prompt.Leader == sequence && !sequence.Prompt.IsComputed)
            sequence.Prompt.Leader = null;
    }

    /// <summary>Lets waiting sequences run while there are places and pages for their prompts, or such are given up for them.</summary>
    public void Admit()
    {
        while (NextWaiting() is { } sequence)
        {
            while (Running.Count == _maxRunning || !HasRoomFor(sequence))
            {
                if (!PreemptPaused(sequence) && !PreemptAhead(sequence))
                    return;
            }
            Run(sequence);
            if (!sequence.Prompt.IsComputed)
                sequence.Prompt.Leader = sequence;
            FindPrefix(sequence);
        }
    }

    /// <summary>Fills <see cref="Batch"/>: one row for each sequence that decodes, and a share of the other rows for each prompt.</summary>
    public void Plan()
    {
        Batch.Clear();
        int decoding = 0;
        _promptCount = 0;
        for (int i = 0; i < Running.Count; i++)
        {
            Sequence sequence = Running[i];
            sequence.PlannedRows = 0;
            if (sequence.IsPaused)
                continue;
            FindPrefix(sequence);
            if (sequence.Pending == 1)
            {
                sequence.PlannedRows = 1;
                decoding++;
            }
            else if (!WaitsForSamePage(sequence))
            {
                CopyStart(sequence);
                _prompts[_promptCount++] = sequence;
            }
        }
        int rows = Batch.MaxRows - decoding;
        ShareRows(decoding > 0 ? Math.Min(rows, _promptRowsWhileDecoding) : rows, Batch.MaxLogitRows - decoding);
        for (int i = 0; i < Running.Count; i++)
        {
            Sequence sequence = Running[i];
            if (sequence.PlannedRows > 0)
            {
                Reserve(sequence);
                i = Running.IndexOf(sequence); // others may have gone
            }
        }
        Account();
        FillBatch();
    }

    /// <summary>After a forward pass: makes the pages a sequence has filled known to later prompts.</summary>
    public void NoteProgress(Sequence sequence)
    {
        sequence.Prompt.Reach(sequence.State.Length, cached: false);
        Tenants.Charge(sequence.Tenant, sequence.TakeNewRows());
        if (_tree is null)
            return;
        SequenceState state = sequence.State;
        while ((sequence.KnownPages + 1) * PageTokens <= state.Length)
        {
            int index = sequence.KnownPages;
            ReadOnlySpan<int> tokens = sequence.Tokens.Slice(index * PageTokens, PageTokens);
            int known = _tree.Insert(sequence.LastKnownPage, sequence.Plan.Scope, tokens, state.Pages[index]);
            if (known != state.Pages[index])
                state.Replace(index, known);
            sequence.KnownPages++;
        }
    }

    /// <summary>
    /// Once a sequence has computed its prompt: has the next of its waiting siblings go on from the same pages.
    /// </summary>
    /// <returns>The sibling, running now with the prompt computed; null where none waits or no place is left.</returns>
    public Sequence? ForkNext(Sequence sequence)
    {
        if (Running.Count == _maxRunning)
            return null;
        for (int i = 0; i < sequence.Samples.Count; i++)
        {
            Sequence sibling = sequence.Samples[i];
            if (sibling.Phase != SequencePhase.Waiting || sibling.CancelRequested)
                continue;
            Run(sibling);
            sequence.State.ForkTo(sibling.State);
            sibling.KnownPages = sequence.KnownPages;
            return sibling;
        }
        return null;
    }

    /// <summary>The waiting sequence to run next: of the owner that would have had the least with one more, the oldest.</summary>
    private Sequence? NextWaiting()
    {
        Sequence? next = null;
        double least = 0;
        for (int i = 0; i < Waiting.Count; i++)
        {
            Sequence sequence = Waiting[i];
            if (sequence.IsPaused || (sequence.Prompt.Leader is { } leader && leader != sequence && !sequence.Prompt.IsComputed))
                continue;
            Tenant tenant = sequence.Tenant;
            double pass = tenant.Pass + (tenant.Running + 1.0) / tenant.Weight;
            if (next is null || pass < least)
                (next, least) = (sequence, pass);
        }
        return next;
    }

    /// <summary>Notes where the owners are that this step serves, and keeps all within reach of them.</summary>
    private void Account()
    {
        double least = double.MaxValue;
        for (int i = 0; i < Running.Count; i++)
        {
            if (Running[i].PlannedRows > 0)
                least = Math.Min(least, Running[i].Tenant.Pass);
        }
        if (least == double.MaxValue)
            return;
        _tenants.Advance(least);
        for (int i = 0; i < Running.Count; i++)
            _tenants.Keep(Running[i].Tenant);
        for (int i = 0; i < Waiting.Count; i++)
            _tenants.Keep(Waiting[i].Tenant);
    }

    private void Run(Sequence sequence)
    {
        Waiting.Remove(sequence);
        sequence.Phase = SequencePhase.Running;
        Running.Add(sequence);
        sequence.Tenant.Running++;
        if (sequence.QueueTime is null)
        {
            TimeSpan time = _time.GetElapsedTime(sequence.SubmittedAt);
            sequence.SetQueueTime(time);
            _statistics.QueueTime.Record(time);
            if (sequence.Prompt.TakeUp())
                _statistics.PromptTokens += sequence.Prompt.Length;
        }
    }

    /// <summary>Whether the pages a sequence needs next, to a page past its tokens, are there beside those promised to others.</summary>
    private bool HasRoomFor(Sequence sequence)
    {
        if (Running.Count == 0)
            return true;
        long available = _pool.FreePages + _pool.IdlePages;
        for (int i = 0; i < Running.Count; i++)
            available -= Math.Max(0, PagesSoon(Running[i]) - Running[i].State.Pages.Length);
        return PagesSoon(sequence) - SharedPages(sequence) <= available;
    }

    private static int PagesSoon(Sequence sequence) =>
        KvPool.PagesFor((int)Math.Min((long)sequence.Length + PageTokens, sequence.State.MaxTokens));

    /// <summary>Pages a waiting sequence would share with running ones.</summary>
    private int SharedPages(Sequence sequence)
    {
        if (_tree is null)
            return 0;
        int parent = PrefixTree.Root;
        int shared = 0;
        for (int end = PageTokens; end <= sequence.Skippable; end += PageTokens)
        {
            parent = _tree.Find(parent, sequence.Plan.Scope, sequence.Tokens.Slice(end - PageTokens, PageTokens));
            if (parent < 0 || _pool.References(parent) == 1)
                break; // below an idle page all are idle
            shared++;
        }
        return shared;
    }

    /// <summary>Goes on from the pages the prefix cache has for a sequence's next tokens.</summary>
    private void FindPrefix(Sequence sequence)
    {
        SequenceState state = sequence.State;
        if (_tree is null || state.Length != sequence.KnownPages * PageTokens || state.Pages.Length != sequence.KnownPages)
            return;
        int before = state.Length;
        while (state.Length + PageTokens <= sequence.Skippable)
        {
            int page = _tree.Find(
                sequence.LastKnownPage, sequence.Plan.Scope, sequence.Tokens.Slice(state.Length, PageTokens));
            if (page < 0)
                break;
            state.Adopt(new ReadOnlySpan<int>(in page), PageTokens);
            sequence.KnownPages++;
        }
        if (state.Length > before)
        {
            sequence.Prompt.Reach(state.Length, cached: true);
            _statistics.CachedTokens += state.Length - before;
        }
    }

    /// <summary>Where no full page is known any more: copies the beginning of one that has some of a sequence's next tokens.</summary>
    private void CopyStart(Sequence sequence)
    {
        SequenceState state = sequence.State;
        int before = state.Length;
        if (_tree is null || before != sequence.KnownPages * PageTokens || state.Pages.Length != sequence.KnownPages)
            return;
        ReadOnlySpan<int> next = sequence.Tokens[before..Math.Max(before, Math.Min(before + PageTokens, sequence.Skippable))];
        int tokens = _tree.LongestStart(sequence.LastKnownPage, sequence.Plan.Scope, next, out int page);
        if (tokens == 0 || tokens == PageTokens)
            return;
        state.Adopt(new ReadOnlySpan<int>(in page), tokens);
        if (_pool.FreePages == 0)
            _tree.EvictOne();
        if (!state.TryReserve(1)) // which copies it
        {
            state.Keep(before);
            return;
        }
        _tree.Touch(new ReadOnlySpan<int>(in page));
        sequence.Prompt.Reach(state.Length, cached: true);
        _statistics.CachedTokens += tokens;
    }

    /// <summary>Makes the last, partly filled page of a sequence that gives up its pages known to later prompts.</summary>
    private void KeepTail(Sequence sequence)
    {
        SequenceState state = sequence.State;
        int start = sequence.KnownPages * PageTokens, tokens = state.Length - start;
        if (_tree is null || tokens is < PrefixTree.LeastTokens or >= PageTokens || _pool.IsCached(state.Pages[sequence.KnownPages]))
            return;
        _tree.InsertTail(sequence.LastKnownPage, sequence.Plan.Scope, sequence.Tokens.Slice(start, tokens), state.Pages[sequence.KnownPages]);
    }

    /// <summary>Whether an older prompt computes, in this step, the very page this one needs next.</summary>
    private bool WaitsForSamePage(Sequence sequence)
    {
        int start = sequence.KnownPages * PageTokens;
        if (_tree is null || sequence.State.Length != start || start + PageTokens > sequence.Skippable)
            return false;
        ReadOnlySpan<int> next = sequence.Tokens.Slice(start, PageTokens);
        for (int i = 0; i < _promptCount; i++)
        {
            Sequence other = _prompts[i];
            if (other.KnownPages == sequence.KnownPages
                && other.LastKnownPage == sequence.LastKnownPage
                && other.Plan.Scope == sequence.Plan.Scope
                && other.Length - start >= PageTokens
                && next.SequenceEqual(other.Tokens.Slice(start, PageTokens)))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// Gives each owner a share of the rows by its weight, each of its prompts an equal part of that, and what the short ones leave to the
    /// others, oldest first.
    /// </summary>
    private void ShareRows(int rows, int logitRows)
    {
        for (int i = 0; i < _promptCount; i++)
            _prompts[i].Tenant.Prompts = 0;
        for (int i = 0; i < _promptCount; i++)
            _prompts[i].Tenant.Prompts++;
        double left = 0;
        for (int i = 0; i < _promptCount; i++)
            left += PortionOf(_prompts[i]);
        for (int i = 0; i < _promptCount; i++)
        {
            double portion = PortionOf(_prompts[i]);
            int share = (int)Math.Ceiling(rows * portion / left - RoundingSlack);
            left -= portion;
            _prompts[i].PlannedRows = Math.Min(share, _prompts[i].Pending);
            rows -= _prompts[i].PlannedRows;
        }
        for (int i = 0; i < _promptCount; i++)
        {
            int more = Math.Min(rows, _prompts[i].Pending - _prompts[i].PlannedRows);
            _prompts[i].PlannedRows += more;
            rows -= more;
        }
        for (int i = 0; i < _promptCount; i++)
        {
            Sequence sequence = _prompts[i];
            int fits = 0;
            for (; fits < sequence.PlannedRows; fits++)
            {
                if (!sequence.WantsLogits(sequence.State.Length + fits))
                    continue;
                if (logitRows == 0)
                    break;
                logitRows--;
            }
            sequence.PlannedRows = fits;
        }
    }

    private static double PortionOf(Sequence sequence) => (double)sequence.Tenant.Weight / sequence.Tenant.Prompts;

    /// <summary>Gets the pages for a sequence's planned rows; plans fewer rows where that many cannot be had.</summary>
    private void Reserve(Sequence sequence)
    {
        do
        {
            while (_pool.FreePages < sequence.State.PagesToReserve(sequence.PlannedRows) && _tree is not null && _tree.EvictOne())
            {
            }
            if (sequence.State.TryReserve(sequence.PlannedRows))
                return;
        }
        while (PreemptPaused(sequence) || PreemptBelow(sequence));

        while (!sequence.State.TryReserve(sequence.PlannedRows))
            sequence.PlannedRows--;
    }

    private bool PreemptPaused(Sequence except)
    {
        for (int i = Running.Count - 1; i >= 0; i--)
        {
            Sequence sequence = Running[i];
            if (sequence != except && sequence.PlannedRows == 0 && sequence.IsPaused)
            {
                return Preempt(sequence);
            }
        }
        return false;
    }

    /// <summary>Has the owner that is farthest ahead of a waiting sequence's give up the place of its youngest, where it has more places by its weight.</summary>
    private bool PreemptAhead(Sequence waiting)
    {
        Tenant own = waiting.Tenant;
        Sequence? victim = null;
        for (int i = Running.Count - 1; i >= 0; i--)
        {
            Tenant tenant = Running[i].Tenant;
            if (_tenants.IsAhead(tenant, own)
                && (long)tenant.Running * own.Weight > (long)own.Running * tenant.Weight
                && (victim is null || tenant.Lead(own) > victim.Tenant.Lead(own)))
            {
                victim = Running[i];
            }
        }
        return Preempt(victim);
    }

    /// <summary>Takes the pages of a sequence that ranks below another: of the owner that is farthest ahead, or of the youngest where none is too far.</summary>
    private bool PreemptBelow(Sequence sequence)
    {
        Sequence? victim = null;
        double most = 0;
        for (int i = Running.Count - 1; i >= 0; i--)
        {
            Sequence other = Running[i];
            bool isAhead = _tenants.IsAhead(other.Tenant, sequence.Tenant);
            if (other == sequence || !(isAhead || (other.Id > sequence.Id && !_tenants.IsAhead(sequence.Tenant, other.Tenant))))
                continue;
            double lead = isAhead ? other.Tenant.Lead(sequence.Tenant) : 0;
            if (victim is null || lead > most)
                (victim, most) = (other, lead);
        }
        return Preempt(victim);
    }

    private bool Preempt(Sequence? victim)
    {
        if (victim is null)
            return false;
        ReleasePages(victim);
        Running.Remove(victim);
        victim.Tenant.Running--;
        victim.Phase = SequencePhase.Waiting;
        Waiting.Add(victim);
        _statistics.Preemptions++;
        return true;
    }

    private void ReleasePages(Sequence sequence)
    {
        KeepTail(sequence);
        _tree?.Touch(sequence.State.Pages);
        sequence.State.Free();
        sequence.KnownPages = 0;
        sequence.PlannedRows = 0;
    }

    // Rows that want hidden states stand behind those that want logits.
    private void FillBatch()
    {
        FillBatch(pooled: false);
        FillBatch(pooled: true);
    }

    private void FillBatch(bool pooled)
    {
        for (int i = 0; i < Running.Count; i++)
        {
            Sequence sequence = Running[i];
            if (sequence.PlannedRows == 0 || sequence.IsPooled != pooled)
                continue;
            int index = Batch.AddSequence(sequence.State, sequence.Plan.Adapter);
            _planned[index] = sequence;
            int first = sequence.State.Length;
            for (int position = first; position < first + sequence.PlannedRows; position++)
                Batch.Add(index, sequence.Tokens[position], position, sequence.WantsLogits(position), sequence.WantsHidden(position));
        }
    }
}

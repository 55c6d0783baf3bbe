using Flint.Engine;
using Flint.Models;
using EngineUnderTest = Flint.Engine.Engine;

namespace Flint.Tests.Simulation;

/// <summary>Counts every page's holders from the outside and compares with the pool's own books.</summary>
internal static class PageAudit
{
    public static void Check(EngineUnderTest engine, IEnumerable<Sequence> sequences)
    {
        KvPool pool = engine.Pool;
        int[] holders = new int[pool.Pages];
        int cached = 0;
        foreach (Sequence sequence in sequences)
        {
            if (sequence.Phase != SequencePhase.Running)
                Assert.Equal(0, sequence.State.Pages.Length);
            Assert.True(sequence.State.Pages.Length <= KvPool.PagesFor(sequence.State.MaxTokens));
            for (int i = 0; i < sequence.State.Pages.Length; i++)
            {
                holders[sequence.State.Pages[i]]++;
                Assert.True(i >= sequence.KnownPages || pool.IsCached(sequence.State.Pages[i]));
            }
        }
        int free = 0, idle = 0;
        for (int page = 0; page < pool.Pages; page++)
        {
            if (pool.IsCached(page))
            {
                cached++;
                if (holders[page] == 0)
                    idle++;
                holders[page]++;
            }
            Assert.Equal(holders[page], pool.References(page));
            if (holders[page] == 0)
                free++;
        }
        Assert.Equal(free, pool.FreePages);
        Assert.Equal(idle, pool.IdlePages);
        Assert.Equal(cached, engine.Tree?.Count ?? 0);
    }
}

using System.Security.Cryptography;
using System.Text;
using Flint.App.Accounts;
using Flint.App.Serving;

namespace Flint.App.Upstreams;

/// <summary>A model that upstreams serve, and the choice among them: smooth weighted turns of those that are up, closed and have room.</summary>
public sealed class UpstreamModel : NamedModel
{
    private readonly Lock _gate = new();

    internal UpstreamModel(UpstreamOptions options, IReadOnlyList<UpstreamMember> members, DateTimeOffset created, TimeProvider time)
        : base(options.Name, Digest(options), created)
    {
        Options = options;
        Members = members;
        Time = time;
        Prices = [.. members.Select(member => member.Options.Price).OfType<Price>()];
    }

    /// <summary>Its configuration.</summary>
    public UpstreamOptions Options { get; }

    /// <inheritdoc/>
    public override int? ContextLength => Options.Context;

    /// <summary>The prices of targets that have their own.</summary>
    public IReadOnlyList<Price> Prices { get; }

    /// <summary>Its targets.</summary>
    internal IReadOnlyList<UpstreamMember> Members { get; }

    /// <summary>The clock.</summary>
    internal TimeProvider Time { get; }

    /// <summary>A place at the target whose turn it is; null where none takes a request.</summary>
    /// <param name="tried">Targets that are not asked again.</param>
    internal UpstreamLease? Enter(IReadOnlyCollection<UpstreamMember> tried)
    {
        lock (_gate)
        {
            List<UpstreamMember> able = [.. Members.Where(member => !tried.Contains(member) && member.Target.Answers && member.Target.HasRoom(member.Options.Concurrency))];
            while (able.Count > 0)
            {
                UpstreamMember next = able[0];
                foreach (UpstreamMember member in able)
                {
                    member.Credit += member.Options.Weight;
                    if (member.Credit > next.Credit)
                        next = member;
                }

                next.Credit -= able.Sum(member => member.Options.Weight);
                if (next.Target.TryEnter(next.Options.Concurrency, out bool isTrial))
                    return new UpstreamLease(next, Options, isTrial);
                able.Remove(next); // another was faster
            }

            return null;
        }
    }

    /// <summary>Why no target takes a request.</summary>
    internal FlintException Refusal() =>
        Members.Any(member => member.Target.Answers) ? UpstreamFault.Busy(Name) : UpstreamFault.Unavailable(Name);

    private static string Digest(UpstreamOptions options)
    {
        string text = string.Join('\n', options.Targets.Select(target => $"{target.BaseUrl} {target.Model}").Order(StringComparer.Ordinal));
        return "up_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..12];
    }
}
